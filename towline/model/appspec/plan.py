"""The plan: an AppSpec compiled on the control side, so that a host needs no YAML.

Field names are the host protocol's (docs/host-protocol.md); `towline/model/appspec/parser.py` makes it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towline.model.base import Message

PLAN_LIMIT_BYTES = 4 * 1024 * 1024
"""The plan as JSON, with defaults. It is kept in the store and sent to hosts; Temporal only has its key."""

FileExistsBehavior = Literal["DISALLOW", "OVERWRITE", "RETAIN"]


class Script(Message):
    """One item of a hook. `timeout` is in seconds."""

    location: str
    timeout: int = 3600
    runas: str | None = None
    sudo: bool = False


class FileEntry(Message):
    """One item of `files`, as written; the host decides whether the source is a file or a directory."""

    source: str
    destination: str


class AclEntry(Message):
    """One ACL entry, in setfacl's parts: `default:user:bob:rw-`."""

    default: bool = False
    type: Literal["user", "group", "mask", "other"]
    name: str = ""
    perms: str


class SELinuxContext(Message):
    """An SELinux context; `range` as written (`s0-s3:c0.c5`)."""

    user: str | None = None
    type: str
    range: str | None = None


class Permission(Message):
    """One item of `permissions`. `mode` is octal text such as `0644`."""

    object: str
    pattern: str = "**"
    except_: tuple[str, ...] = Field(default=(), serialization_alias="except", validation_alias="except")
    type: tuple[Literal["file", "directory"], ...] = ("file", "directory")
    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    acls: tuple[AclEntry, ...] | None = None
    context: SELinuxContext | None = None


class CompiledPlan(Message):
    """The work of a host with an unpacked revision."""

    appspec: str = "appspec.yml"  # the file name it was read from
    files: tuple[FileEntry, ...] = ()
    permissions: tuple[Permission, ...] = ()
    hooks: dict[str, tuple[Script, ...]] = Field(default_factory=dict)
    file_exists_behavior: FileExistsBehavior | None = None
