"""The shape of towline.yaml, as pydantic checks it; the rules beyond the shape are in `rules.py`."""

from __future__ import annotations

from pydantic import Field

from towline.model.base import ApiShape
from towline.model.fleet.instance import (
    AgentSettings,
    CodeDeployAgentSettings,
    FakeSettings,
    LocalSettings,
    SshSettings,
)
from towline.model.fleet.targets import InstanceSsh
from towline.model.group.config import DeploymentConfig
from towline.model.group.group import NAME, DeploymentGroup


class ManifestApplication(ApiShape):
    """An application with its groups. A group's `applicationName` is filled in from here."""

    application_name: str = Field(pattern=NAME)
    deployment_groups: tuple[DeploymentGroup, ...] = ()


class ManifestInstance(ApiShape):
    """An instance, or many by a range in its name. At most one way to reach it; none means `ssh: {}`."""

    instance_name: str
    zone: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    ssh: InstanceSsh | None = None
    local: LocalSettings | None = None
    agent: AgentSettings | None = None
    codedeploy_agent: CodeDeployAgentSettings | None = None
    fake: FakeSettings | None = None
    paused: bool = False


class ManifestEc2(ApiShape):
    """A region to search for EC2 instances, and how they are reached: by SSH, or by towline's agent on them."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")
    ssh: InstanceSsh = InstanceSsh()
    agent: AgentSettings | None = None


class ManifestShape(ApiShape):
    """The whole file."""

    owner: str = Field(default="", max_length=256)
    applications: tuple[ManifestApplication, ...] = ()
    deployment_configs: tuple[DeploymentConfig, ...] = ()
    ssh: dict[str, SshSettings] = Field(default_factory=dict)
    instances: tuple[ManifestInstance, ...] = ()
    ec2: tuple[ManifestEc2, ...] = ()
