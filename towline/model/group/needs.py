"""What a group's deployments need that towline does not have, and what of a group it stores without acting on it.

A deployment that needs what is not built ends before anything is touched; what is only not acted on is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from towline.model.deployment.lifecycle import DeploymentOption, DeploymentType
from towline.model.group.group import DeploymentGroup
from towline.model.group.monitoring import AlarmConfiguration
from towline.model.group.traffic import Ec2DeploymentOptions


@dataclass(frozen=True)
class Member:
    """A member of a group, why it cannot be acted on, and what to do."""

    name: str
    rule: str
    hint: str = ""


def not_built(
    group: DeploymentGroup, alarms: AlarmConfiguration | None = None, options: Ec2DeploymentOptions | None = None
) -> Iterator[Member]:
    """The members that stand in the way of a deployment. `alarms`, `options`: a deployment's own, ahead of the group's.

    What does not apply is no obstacle, as in CodeDeploy: a load balancer WITHOUT_TRAFFIC_CONTROL, the blue/green
    configuration of an in-place group, disabled alarms, processes to suspend where there is no Auto Scaling group.
    """
    style = group.deployment_style
    if style.deployment_type is DeploymentType.BLUE_GREEN:
        yield Member(
            "deploymentStyle.deploymentType",
            "blue/green deployments are not built yet",
            "Deploy in place: set deploymentType to IN_PLACE and deploymentOption to WITHOUT_TRAFFIC_CONTROL.",
        )
    elif style.deployment_option is DeploymentOption.WITH_TRAFFIC_CONTROL:
        yield Member(
            "deploymentStyle.deploymentOption",
            "instances are not taken out of load balancers yet",
            "Set deploymentOption to WITHOUT_TRAFFIC_CONTROL, and take them out by hooks (docs/zero-downtime.md).",
        )
    if (group.alarm_configuration if alarms is None else alarms).enabled:
        yield Member(
            "alarmConfiguration" if alarms is None else "overrideAlarmConfiguration",
            "alarms are not watched yet",
            "Set enabled to false; overrideAlarmConfiguration of CreateDeployment does so for one deployment.",
        )
    options = group.ec2_deployment_options if options is None else options
    if options and options.auto_scaling_group_processes_to_suspend and group.auto_scaling_groups:
        yield Member(
            "ec2DeploymentOptions",
            "processes of Auto Scaling groups are not suspended yet",
            "Empty autoScalingGroupProcessesToSuspend, and suspend them around the deployment where that is needed.",
        )


def not_acted_on(group: DeploymentGroup) -> Iterator[Member]:
    """The members without which a deployment goes on, and does less than CodeDeploy would."""
    if group.trigger_configurations:
        yield Member("triggerConfigurations", "no notification is sent yet")
    if group.auto_scaling_groups:
        rule = "an instance that is launched gets its revision with the next deployment: launch hooks are not built yet"
        yield Member("autoScalingGroups", rule)
    if group.termination_hook_enabled:
        yield Member("terminationHookEnabled", "no hook runs when an instance is terminated: that is not built yet")
