"""Resolves access settings: an instance's own keys override the named settings it uses, and those `default`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from towline.model.base import ApiShape
from towline.model.fleet.instance import (
    Access,
    AgentAccess,
    AgentSettings,
    CodeDeployAgentAccess,
    FakeAccess,
    InstanceRecord,
    LocalAccess,
    SshAccess,
    SshSettings,
    Target,
)
from towline.model.fleet.ranges import with_name
from towline.model.group.group import NAME

DEFAULT_SETTINGS = "default"


class NamedSshSettings(SshSettings):
    """Named settings as the catalogue keeps them, under `ssh/<name>`."""

    owner: str = ""


class InstanceSsh(SshSettings):
    """The `ssh` of an instance or of an ec2 source: its own keys, and the named settings it uses."""

    use: str | None = Field(default=None, pattern=NAME)


class Ec2Source(ApiShape):
    """A region to search for EC2 instances, as the catalogue keeps it under `ec2/<region>`."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")
    ssh: InstanceSsh = InstanceSsh()
    agent: AgentSettings | None = None
    owner: str = ""


ADDRESSES: tuple[str, ...] = ("privateIpAddress", "publicIpAddress", "privateDnsName", "publicDnsName", "instanceId")
"""Values for the `address` of an ec2 source, besides `tag:NAME`."""


def complete(own: SshSettings | None, use: str | None, named: Mapping[str, SshSettings], name: str) -> SshAccess:
    """The settings for one instance, with `{name}` filled in; `host` defaults to the instance's name.

    Raises KeyError with the name of missing settings (except `default`).
    """
    merged: dict[str, object] = {}
    layers = [named.get(DEFAULT_SETTINGS)]
    if use and use != DEFAULT_SETTINGS:
        layers.append(named[use])
    for layer in (*layers, own):
        if layer is not None:
            merged |= layer.model_dump(exclude_none=True, exclude={"use", "owner"})
    merged.setdefault("host", name)
    return SshAccess.model_validate(with_name(merged, name))


def target_of(record: InstanceRecord, named: Mapping[str, SshSettings]) -> Target:
    """The target of a declared instance; raises KeyError as `complete` does."""
    access = _access_of(record, named)
    return Target(
        name=record.instance_name,
        address=access.shown_as,
        zone=record.zone,
        access=access,
        tags=record.tags,
        source=f"instance/{record.instance_name}",
    )


def _access_of(record: InstanceRecord, named: Mapping[str, SshSettings]) -> Access:
    if record.local:
        return LocalAccess(**dict(record.local))
    if record.agent:
        return AgentAccess(**dict(record.agent))
    if record.codedeploy_agent:
        return CodeDeployAgentAccess(**dict(record.codedeploy_agent))
    if record.fake:
        return FakeAccess(**dict(record.fake))
    return complete(record.ssh, record.use, named, record.instance_name)
