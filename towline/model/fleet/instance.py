"""Instances, on-premises and EC2: their tags and access settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from towline.model import names
from towline.model.base import ApiShape, Message


class ProxyJump(ApiShape):
    """A bastion on the way to a host."""

    host: str
    port: int = 22
    username: str | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None


class SshSettings(ApiShape):
    """SSH access to a host; paths and `~` are the worker's. Unset keys come from the named settings."""

    host: str | None = None
    port: int | None = None
    username: str | None = None
    identity_file: str | tuple[str, ...] | None = None  # several while a key is being rotated
    known_hosts_file: str | None = None
    proxy_jump: ProxyJump | None = None
    python: str | None = None  # the interpreter on the host; else python3, else platform-python
    launcher: str | None = None  # a root-owned launcher on the host that sudoers pins
    sudo: bool | None = None  # default: unless username is root
    config: str | None = None  # an OpenSSH configuration file; none is read by default
    connect_timeout_seconds: float | None = None  # default 10
    unreachable_after_seconds: float | None = None  # default 120: how long an unreachable host is retried
    deployment_root: str | None = None
    allow_aws_agent: bool | None = None
    address: str | None = None  # for ec2: the attribute to use as host, e.g. privateIpAddress


class LocalSettings(ApiShape):
    """An instance on the worker's own machine below a root prefix (demo, tests, single machines)."""

    root: str
    host: str = ""  # the worker's host name; its activities go to the task queue towline@<host>


class AgentSettings(ApiShape):
    """An instance that polls with towline's agent."""

    unreachable_after_seconds: float | None = None  # default 120: how long a silent agent is waited for
    deployment_root: str | None = None
    allow_aws_agent: bool | None = None


class CodeDeployAgentSettings(ApiShape):
    """An instance that polls with AWS's CodeDeploy agent."""

    unreachable_after_seconds: float | None = None


class FakeSettings(ApiShape):
    """A simulated instance, for tests and the scale benchmark."""

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
    use: str | None = None  # the named ssh settings to inherit; None: `default`
    local: LocalSettings | None = None
    agent: AgentSettings | None = None
    codedeploy_agent: CodeDeployAgentSettings | None = None
    fake: FakeSettings | None = None
    owner: str = ""
    paused: bool = False


# ── access of a worker to one instance: one class per transport ──────────────────────────────────────────────────


class SshAccess(SshSettings):
    """Access by SSH, with all settings resolved."""

    transport: Literal["ssh"] = "ssh"

    @property
    def shown_as(self) -> str:
        """The address for display."""
        return self.host or ""


class LocalAccess(LocalSettings):
    """Access as a child process of a worker on the same machine."""

    transport: Literal["local"] = "local"

    @property
    def shown_as(self) -> str:
        """The address for display."""
        return self.root

    @property
    def unreachable_after_seconds(self) -> float | None:
        """How long it is retried; None: the default."""
        return None


class AgentAccess(AgentSettings):
    """Access by towline's agent, which polls the API servers."""

    transport: Literal["agent"] = "agent"

    @property
    def shown_as(self) -> str:
        """The address for display."""
        return "agent"


class CodeDeployAgentAccess(CodeDeployAgentSettings):
    """Access by AWS's agent, which polls the API servers."""

    transport: Literal["codedeployAgent"] = "codedeployAgent"

    @property
    def shown_as(self) -> str:
        """The address for display."""
        return "AWS's agent"


class FakeAccess(FakeSettings):
    """No access: the instance is simulated."""

    transport: Literal["fake"] = "fake"

    @property
    def shown_as(self) -> str:
        """The address for display."""
        return "fake"


Access = Annotated[
    SshAccess | LocalAccess | AgentAccess | CodeDeployAgentAccess | FakeAccess, Field(discriminator="transport")
]


class Target(Message):
    """One instance of a frozen fleet, with its access settings at that time. Secrets are references."""

    name: str  # instance name, or i-…
    address: str = ""  # for display: host name, address or local root
    zone: str = ""
    access: Access
    tags: dict[str, str] = Field(default_factory=dict)
    source: str = ""  # catalogue key of its declaration, read again at each connect
    expected: str = ""  # in a rollback: label of the revision it ran before, if the group remembers
    expected_by: str = ""  # and the deployment that brought it there

    @property
    def ssh(self) -> SshAccess | None:
        """Its SSH settings, if it is reached by SSH."""
        return self.access if isinstance(self.access, SshAccess) else None

    @property
    def local(self) -> LocalAccess | None:
        """Its local settings, if it is local to a worker."""
        return self.access if isinstance(self.access, LocalAccess) else None

    @property
    def task_queue(self) -> str | None:
        """The task queue for its activities; None: the deployment's."""
        if self.polls:
            return names.AGENTS_TASK_QUEUE
        return names.local_task_queue(self.local.host) if self.local and self.local.host else None

    @property
    def polls(self) -> bool:
        """Whether it is reached by an agent that polls the API servers."""
        return isinstance(self.access, AgentAccess | CodeDeployAgentAccess)

    @property
    def deployment_root(self) -> str | None:
        """Where deployments lie on it; None: CodeDeploy's default."""
        return self.access.deployment_root if isinstance(self.access, SshAccess | AgentAccess) else None

    @property
    def allows_aws_agent(self) -> bool:
        """Whether it is deployed to although AWS's agent runs there."""
        return isinstance(self.access, SshAccess | AgentAccess) and bool(self.access.allow_aws_agent)
