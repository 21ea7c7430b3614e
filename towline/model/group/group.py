"""Applications and deployment groups in CodeDeploy's shapes, their filters and their stable ids."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator

from towline.model.base import ApiShape
from towline.model.deployment.lifecycle import IN_PLACE, DeploymentStyle
from towline.model.group.monitoring import AlarmConfiguration, TriggerConfig
from towline.model.group.traffic import BlueGreenDeploymentConfiguration, Ec2DeploymentOptions, LoadBalancerInfo

_NAMESPACE = uuid.UUID("6b1f7d0e-2f0a-5c5e-9a35-7a1d3f6f2f10")
_APPLICATIONS = uuid.UUID("0f3b8e0a-5a8e-5b52-8f5e-7d4f0c6b2a11")

Shape = TypeVar("Shape", bound=ApiShape)

NAME = r"^[A-Za-z0-9+=,.@_-]{1,100}$"


class TagFilter(ApiShape):
    """One tag filter; filters in one list are OR."""

    key: str | None = Field(default=None, alias="Key")
    value: str | None = Field(default=None, alias="Value")
    type: Literal["KEY_ONLY", "VALUE_ONLY", "KEY_AND_VALUE"] = Field(default="KEY_AND_VALUE", alias="Type")

    def matches(self, tags: dict[str, str]) -> bool:
        """Whether an instance with these tags is selected. Case-sensitive, without wildcards."""
        if self.type == "KEY_ONLY":
            return self.key in tags
        if self.type == "VALUE_ONLY":
            return self.value in tags.values()
        return self.key in tags and tags[self.key] == (self.value or "")


class AutoRollback(ApiShape):
    """Whether, and on which events, a deployment is rolled back."""

    enabled: bool = False
    events: tuple[Literal["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"], ...] = ()


class Ec2TagSet(ApiShape):
    """AND over lists, OR inside each."""

    ec2_tag_set_list: tuple[tuple[TagFilter, ...], ...] = ()


class OnPremisesTagSet(ApiShape):
    """AND over lists, OR inside each."""

    on_premises_tag_set_list: tuple[tuple[TagFilter, ...], ...] = ()


class DeploymentGroup(ApiShape):
    """A deployment group as declared. `where` is towline's and ANDed with the filters."""

    application_name: str = Field(pattern=NAME)
    deployment_group_name: str = Field(pattern=NAME)
    deployment_group_id: str = ""  # empty: a uuid5 of the original names; settable to take over a host
    deployment_config_name: str = "CodeDeployDefault.OneAtATime"
    ec2_tag_filters: tuple[TagFilter, ...] = ()
    ec2_tag_set: Ec2TagSet | None = None
    on_premises_instance_tag_filters: tuple[TagFilter, ...] = ()
    on_premises_tag_set: OnPremisesTagSet | None = None
    auto_scaling_groups: tuple[str, ...] = ()
    where: dict[str, str] = Field(default_factory=dict)
    auto_rollback_configuration: AutoRollback = AutoRollback()
    deployment_style: DeploymentStyle = IN_PLACE
    load_balancer_info: LoadBalancerInfo | None = None
    blue_green_deployment_configuration: BlueGreenDeploymentConfiguration | None = None
    alarm_configuration: AlarmConfiguration = AlarmConfiguration()
    trigger_configurations: tuple[TriggerConfig, ...] = ()
    ec2_deployment_options: Ec2DeploymentOptions | None = None
    outdated_instances_strategy: Literal["UPDATE", "IGNORE"] = "UPDATE"
    termination_hook_enabled: bool = False
    service_role_arn: str | None = None  # CodeDeploy's clients give one and read it back; towline has no use for it
    file_exists_behavior: Literal["DISALLOW", "OVERWRITE", "RETAIN"] | None = None
    if_busy: Literal["refuse", "wait"] | None = None  # towline's: CreateDeployment on a busy group; None: refuse
    timeout_seconds: int = 12 * 3600  # towline's: limit of a deployment without pauses and queue
    git_hub_token: str | None = None  # towline's: a secret: env:NAME, file:PATH, secretsmanager:ID, ssm:NAME
    git_hub_url: str | None = None  # towline's: base URL of the GitHub API
    owner: str = ""

    @field_validator("load_balancer_info", "ec2_deployment_options")
    @classmethod
    def _none_if_empty(cls, given: Shape | None) -> Shape | None:
        """An empty one is as good as none, and takes away what was there."""
        return given if given and given.model_dump(exclude_defaults=True) else None

    def model_post_init(self, context: Any) -> None:
        """Derives the id of a group without one from its names."""
        if not self.deployment_group_id:
            given = group_id(self.application_name, self.deployment_group_name)
            object.__setattr__(self, "deployment_group_id", given)

    @property
    def full_name(self) -> str:
        """`application/group`."""
        return f"{self.application_name}/{self.deployment_group_name}"

    @property
    def seeks_ec2(self) -> bool:
        """Whether it selects EC2 instances."""
        return bool(self.ec2_tag_filters or self.ec2_tag_set or self.auto_scaling_groups)


class Application(ApiShape):
    """An application: its name and owner."""

    application_name: str = Field(pattern=NAME)
    owner: str = ""


def application_id(name: str) -> str:
    """The id of an application by its first name."""
    return str(uuid.uuid5(_APPLICATIONS, name))


def application_id_in(record: Mapping[str, Any]) -> str:
    """The id of an application that has this record: a renamed one keeps it."""
    return str(record.get("applicationId") or application_id(record["applicationName"]))


def group_id_in(application: str, group: str, record: Mapping[str, Any]) -> str:
    """The id of a group that has these names and this record."""
    return str(record.get("deploymentGroupId") or group_id(application, group))


def group_id(application: str, group: str) -> str:
    """The id of a group by its original names: stable, since hosts keep cleanup list and archives under it.

    >>> group_id("shop", "production") == group_id("shop", "production")
    True
    """
    return str(uuid.uuid5(_NAMESPACE, f"{application}/{group}"))


def unused_group_id(application: str, group: str, taken: Collection[str]) -> str:
    """The id of a new group. A renamed group keeps its id, so the one of these names may be in use.

    >>> unused_group_id("shop", "web", {group_id("shop", "web")}) == group_id("shop", "web#2")
    True
    """
    spellings = (group, *(f"{group}#{number}" for number in range(2, len(taken) + 2)))  # no name has a "#"
    return next(one for spelling in spellings if (one := group_id(application, spelling)) not in taken)
