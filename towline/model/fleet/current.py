"""Current SSH settings of a host: a deployment freezes its instances, but not how they are reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from towline.model.fleet.instance import InstanceRecord, SshSettings, Target
from towline.model.fleet.targets import Ec2Source, complete, target_of


def current_ssh(target: Target, source: Mapping[str, Any] | None, named: Mapping[str, SshSettings]) -> SshSettings:
    """The SSH settings of a frozen target, as declared now.

    Args:
        target: as frozen; its `source` is the catalogue key of the record `source`.
        source: that record's value; None if it is no longer declared.
        named: the named settings by name.

    Returns:
        The current settings; the frozen ones if the current declaration has no SSH settings or is invalid.
    """
    frozen = target.ssh or SshSettings()
    if source is None:
        return frozen
    try:
        if target.source.startswith("ec2/"):
            own = Ec2Source.model_validate(source).ssh
            return complete(own.model_copy(update={"host": frozen.host}), own.use, named, target.name)
        record = InstanceRecord.model_validate(source)
        current = target_of(record, named).ssh
    except (KeyError, ValidationError):
        return frozen
    return current or frozen
