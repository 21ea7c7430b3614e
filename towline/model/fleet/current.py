"""How a host is reached now: a deployment freezes who is in it, and not the way there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from towline.model.fleet.instance import InstanceRecord, SshSettings, Target
from towline.model.fleet.targets import Ec2Source, complete


def current_ssh(target: Target, source: Mapping[str, Any] | None, named: Mapping[str, SshSettings]) -> SshSettings:
    """The SSH settings of a frozen target as they are declared now.

    Args:
        target: as it was frozen; its `source` names the catalogue record that `source` is.
        source: that record's value; None where it is not declared any more.
        named: the named settings by name.

    Returns:
        The settings now; those that were frozen where what is declared now says nothing of SSH, or cannot be used.
    """
    frozen = target.ssh or SshSettings()
    if source is None:
        return frozen
    try:
        if target.source.startswith("ec2/"):
            own = Ec2Source.model_validate(source).ssh
            return complete(own.model_copy(update={"host": frozen.host}), own.use, named, target.name)
        record = InstanceRecord.model_validate(source)
        return frozen if record.local or record.fake else complete(record.ssh, record.use, named, target.name)
    except (KeyError, ValidationError):
        return frozen
