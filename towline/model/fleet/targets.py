"""How to reach an instance: its own keys win over those of the settings it uses, and those over `default`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from towline.model.base import ApiShape
from towline.model.fleet.instance import InstanceRecord, SshSettings, Target
from towline.model.fleet.ranges import with_name
from towline.model.group.group import NAME

DEFAULT_SETTINGS = "default"


class NamedSshSettings(SshSettings):
    """Named settings as the catalogue keeps them, under `ssh/<name>`."""

    owner: str = ""


class InstanceSsh(SshSettings):
    """The `ssh` of an instance or of an ec2 source: its own keys, and whose it uses."""

    use: str | None = Field(default=None, pattern=NAME)


class Ec2Source(ApiShape):
    """Where EC2 instances are sought, as the catalogue keeps it under `ec2/<region>`."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")
    ssh: InstanceSsh = InstanceSsh()
    owner: str = ""


ADDRESSES: tuple[str, ...] = ("privateIpAddress", "publicIpAddress", "privateDnsName", "publicDnsName", "instanceId")
"""What `address` of an ec2 source may be, and `tag:NAME`."""


def complete(own: SshSettings | None, use: str | None, named: Mapping[str, SshSettings], name: str) -> SshSettings:
    """The settings for one instance, `{name}` filled in; without `host` the instance's name is it.

    Raises KeyError with the name of settings that do not exist (no `default` is fine).
    """
    merged: dict[str, object] = {}
    layers = [named.get(DEFAULT_SETTINGS)]
    if use and use != DEFAULT_SETTINGS:
        layers.append(named[use])
    for layer in (*layers, own):
        if layer is not None:
            merged |= layer.model_dump(exclude_none=True, exclude={"use", "owner"})
    merged.setdefault("host", name)
    return SshSettings.model_validate(with_name(merged, name))


def target_of(record: InstanceRecord, named: Mapping[str, SshSettings]) -> Target:
    """The target of a declared instance; raises KeyError as `complete` does."""
    name = record.instance_name
    transport: Literal["ssh", "local", "fake"] = "local" if record.local else "fake" if record.fake else "ssh"
    ssh = complete(record.ssh, record.use, named, name) if transport == "ssh" else None
    address = {"ssh": ssh.host if ssh else "", "local": record.local.root if record.local else "", "fake": "fake"}
    return Target(
        name=name,
        address=address[transport] or "",
        zone=record.zone,
        transport=transport,
        ssh=ssh,
        local=record.local,
        fake=record.fake,
        tags=record.tags,
        source=f"instance/{name}",
    )
