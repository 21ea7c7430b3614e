"""Instances: declared ones (on-premises) and EC2's, their tags, and how to reach them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from towline.model.base import ApiShape, Message


class ProxyJump(ApiShape):
    """A bastion on the way to a host."""

    host: str
    port: int = 22
    username: str | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None


class SshSettings(ApiShape):
    """How to reach a host by SSH; paths and `~` are the worker's. Unset keys come from the named settings."""

    host: str | None = None
    port: int | None = None
    username: str | None = None
    identity_file: str | tuple[str, ...] | None = None  # several while a key is being rotated
    known_hosts_file: str | None = None
    proxy_jump: ProxyJump | None = None
    python: str | None = None  # the interpreter on the host; else python3, else platform-python
    launcher: str | None = None  # a root-owned launcher on the host that sudoers pins
    sudo: bool | None = None  # default: unless username is root
    config: str | None = None  # an OpenSSH configuration file, on purpose only
    connect_timeout_seconds: float | None = None  # default 10
    unreachable_after_seconds: float | None = None  # default 120: how long an unreachable host is tried again
    deployment_root: str | None = None
    allow_aws_agent: bool | None = None
    address: str | None = None  # for ec2: which attribute is the host, e.g. privateIpAddress


class LocalSettings(ApiShape):
    """An instance on the worker's own machine below a root prefix (demo, tests, single machines)."""

    root: str
    host: str = ""  # the worker's host name; its activities go to the task queue towline@<host>


class FakeSettings(ApiShape):
    """An instance that is only played, for tests and the scale benchmark."""

    fail: str | None = None  # the event that fails
    seconds: float = 0.0
    unreachable: bool = False
    unreachable_after_seconds: float | None = None


class InstanceRecord(ApiShape):
    """A declared instance as the catalogue keeps it: ranges expanded, `use` still a name."""

    instance_name: str
    zone: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    ssh: SshSettings | None = None
    use: str | None = None  # the named ssh settings below its own; None: `default`
    local: LocalSettings | None = None
    fake: FakeSettings | None = None
    owner: str = ""
    paused: bool = False


# ── how a worker reaches one instance: one class per transport ───────────────────────────────────────────────────


class SshAccess(SshSettings):
    """By SSH, with every setting that is known."""

    transport: Literal["ssh"] = "ssh"

    @property
    def shown_as(self) -> str:
        """For people: where it goes."""
        return self.host or ""


class LocalAccess(LocalSettings):
    """As a child process of a worker on the same machine."""

    transport: Literal["local"] = "local"

    @property
    def shown_as(self) -> str:
        """For people: where it goes."""
        return self.root

    @property
    def unreachable_after_seconds(self) -> float | None:
        """How long it is tried again; None: the default."""
        return None


class FakeAccess(FakeSettings):
    """By no means: it is only played."""

    transport: Literal["fake"] = "fake"

    @property
    def shown_as(self) -> str:
        """For people: where it goes."""
        return "fake"


Access = Annotated[SshAccess | LocalAccess | FakeAccess, Field(discriminator="transport")]


class Target(Message):
    """One instance of a frozen fleet, and how it was reached when that was frozen. Secrets are only named."""

    name: str  # instance name, or i-…
    address: str = ""  # for people: host name, address or local root
    zone: str = ""
    access: Access
    tags: dict[str, str] = Field(default_factory=dict)
    source: str = ""  # the catalogue key of what declares it, which is read again at each connect
    expected: str = ""  # of an undo: the label of what it ran before, as far as the group remembers

    @property
    def ssh(self) -> SshAccess | None:
        """Its SSH settings, where it is reached so."""
        return self.access if isinstance(self.access, SshAccess) else None

    @property
    def local(self) -> LocalAccess | None:
        """Its local settings, where it is reached so."""
        return self.access if isinstance(self.access, LocalAccess) else None

    @property
    def task_queue(self) -> str | None:
        """The queue that its activities must go to, or None for the deployment's own."""
        return f"towline@{self.local.host}" if self.local and self.local.host else None
