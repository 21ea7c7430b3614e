"""CodeDeploy's rules of a group's load balancers, blue/green configuration, alarms and triggers. Pure.

Source: the model's error documentation, and sentences that AWS answered with in September 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from towline.model.deployment.lifecycle import DeploymentOption, DeploymentType
from towline.model.group.group import DeploymentGroup
from towline.model.group.monitoring import AlarmConfiguration, TriggerConfig
from towline.model.group.needs import not_acted_on, not_built
from towline.model.group.traffic import (
    BlueGreenDeploymentConfiguration,
    BlueInstanceTermination,
    DeploymentReady,
    LoadBalancerInfo,
)
from towline.model.manifest.finding import Finding
from towline.model.problem import Severity
from towline.model.yaml.document import Location

MAX_ALARMS, MAX_TRIGGERS, MAX_LOAD_BALANCERS = 50, 10, 10
MAX_ALARM_NAME, MAX_TARGET_GROUP_NAME, MAX_WAIT_MINUTES = 255, 32, 2880
ALARMS = "InvalidAlarmConfigException"
TRIGGERS = "InvalidTriggerConfigException"
BALANCERS = "InvalidLoadBalancerInfoException"
BLUE_GREEN = "InvalidBlueGreenDeploymentConfigurationException"
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")


def traffic_findings(group: DeploymentGroup, at: Location) -> Iterator[Finding]:
    """What breaks one of CodeDeploy's rules, and warnings of what towline does not act on."""
    yield from _style_findings(group, at)
    if group.load_balancer_info:
        yield from _balancer_findings(group.load_balancer_info, (*at, "loadBalancerInfo"))
    if group.blue_green_deployment_configuration:
        place = (*at, "blueGreenDeploymentConfiguration")
        yield from _blue_green_findings(group.blue_green_deployment_configuration, place)
    yield from alarm_findings(group.alarm_configuration, (*at, "alarmConfiguration"))
    yield from _trigger_findings(group.trigger_configurations, (*at, "triggerConfigurations"))
    for member in not_built(group):
        rule = f"{member.rule}, so deployments to this group are refused"
        yield Finding((*at, *member.name.split(".")), rule, member.hint, Severity.WARNING)
    for member in not_acted_on(group):
        yield Finding((*at, member.name), member.rule, member.hint, Severity.WARNING)


def alarm_findings(config: AlarmConfiguration, at: Location) -> Iterator[Finding]:
    """The rules of alarms, a group's or a deployment's own."""
    names = [alarm.name for alarm in config.alarms]
    if config.enabled and "alarms" not in config.model_fields_set:
        yield Finding(at, "Alarm list cannot be null.", code=ALARMS)
    elif config.enabled and not names:
        rule = "Deployment Groups need to have at least one alarms attached if they are monitored."
        yield Finding(at, rule, code=ALARMS)
    for index, name in enumerate(names):
        if not 0 < len(name) <= MAX_ALARM_NAME:
            yield Finding(
                (*at, "alarms", index), f"The name of an alarm has 1 to {MAX_ALARM_NAME} characters.", code=ALARMS
            )
    for name in _twice(names):
        yield Finding((*at, "alarms"), f"Two alarms with the same name have been specified: {name}", code=ALARMS)
    if len(names) > MAX_ALARMS:
        rule = f"The maximum number of alarms for a deployment group ({MAX_ALARMS}) was exceeded."
        yield Finding((*at, "alarms"), rule, code="AlarmsLimitExceededException")


def _style_findings(group: DeploymentGroup, at: Location) -> Iterator[Finding]:
    style, place = group.deployment_style, (*at, "deploymentStyle")
    is_controlled = style.deployment_option is DeploymentOption.WITH_TRAFFIC_CONTROL
    if is_controlled and not group.load_balancer_info:
        rule = (
            "The deploymentOption value is set to WITH_TRAFFIC_CONTROL, but no load balancer or target group has been "
            "specified in loadBalancerInfo."
        )
        yield Finding(place, rule, code=BALANCERS)
    if not is_controlled and group.load_balancer_info:
        rule = "is not used: deploymentStyle.deploymentOption is WITHOUT_TRAFFIC_CONTROL"
        yield Finding((*at, "loadBalancerInfo"), rule, severity=Severity.WARNING)
    if style.deployment_type is DeploymentType.IN_PLACE:
        return
    if not is_controlled:
        rule = "BLUE_GREEN deployment type not supported with WITHOUT_TRAFFIC_CONTROL option"
        yield Finding(place, rule, code="InvalidDeploymentStyleException")
    if _copies_fleet(group.blue_green_deployment_configuration) and len(group.auto_scaling_groups) != 1:
        rule = (
            "Exactly one AutoScaling group must be specified when selecting the COPY_AUTO_SCALING_GROUP green fleet "
            "provisioning option."
        )
        yield Finding((*at, "blueGreenDeploymentConfiguration"), rule, code=BLUE_GREEN)


def _copies_fleet(config: BlueGreenDeploymentConfiguration | None) -> bool:
    option = config.green_fleet_provisioning_option if config else None
    return option is not None and option.action == "COPY_AUTO_SCALING_GROUP"


def _balancer_findings(info: LoadBalancerInfo, at: Location) -> Iterator[Finding]:
    for member, named in (("elbInfoList", info.elb_info_list), ("targetGroupInfoList", info.target_group_info_list)):
        place = (*at, member)
        if len(named) > MAX_LOAD_BALANCERS:
            yield Finding(place, f"{member} can have at most {MAX_LOAD_BALANCERS} entries.", code=BALANCERS)
        if any(not one.name for one in named):
            yield Finding(place, f"Each entry of {member} must have a name.", code=BALANCERS)
    for one in info.target_group_info_list:
        if len(one.name) > MAX_TARGET_GROUP_NAME:
            rule = (
                f"The target group name {one.name} specified in targetGroupInfoList exceeds the maximum allowed length "
                f"of {MAX_TARGET_GROUP_NAME} characters."
            )
            yield Finding((*at, "targetGroupInfoList"), rule, code=BALANCERS)
    if len(info.target_group_pair_info_list) > 1:
        rule = "targetGroupPairInfoList can have at most one entry."
        yield Finding((*at, "targetGroupPairInfoList"), rule, code="InvalidTargetGroupPairException")


def _blue_green_findings(config: BlueGreenDeploymentConfiguration, at: Location) -> Iterator[Finding]:
    ready, terminate = config.deployment_ready_option, config.terminate_blue_instances_on_deployment_success
    for problem in (_ready_problem(ready), _terminate_problem(terminate)):
        if problem:
            yield Finding(at, problem, code=BLUE_GREEN)


def _ready_problem(ready: DeploymentReady | None) -> str:
    if ready is None:
        return "Deployment ready option cannot be null for blue green deployment"
    minutes = ready.wait_time_in_minutes or 0
    if not 0 <= minutes <= MAX_WAIT_MINUTES:
        return f"The wait of the deployment ready option is 0 to {MAX_WAIT_MINUTES} minutes."
    if ready.action_on_timeout == "STOP_DEPLOYMENT" and not minutes:
        return "Deployment ready action cannot be set to STOP_DEPLOYMENT when timeout is set to 0 minutes."
    if ready.action_on_timeout == "CONTINUE_DEPLOYMENT" and minutes:
        return "Deployment ready action cannot be set to 'CONTINUE_DEPLOYMENT' when timeout is specified"
    return ""


def _terminate_problem(terminate: BlueInstanceTermination | None) -> str:
    if terminate is None:
        return (
            "Terminate blue instances on deployment success behaviour cannot be set to null for Blue Green deployments"
        )
    minutes = terminate.termination_wait_time_in_minutes or 0
    if minutes > MAX_WAIT_MINUTES:
        return "Timeout for instance termination cannot be more than 2 days"
    return "Timeout for instance termination cannot be less than 0" if minutes < 0 else ""


def _trigger_findings(triggers: tuple[TriggerConfig, ...], at: Location) -> Iterator[Finding]:
    for index, trigger in enumerate(triggers):
        if not trigger.trigger_name or not trigger.trigger_events:
            rule = "A trigger needs triggerName, triggerTargetArn and triggerEvents."
            yield Finding((*at, index), rule, code=TRIGGERS)
        if not _TOPIC.fullmatch(trigger.trigger_target_arn):
            yield Finding((*at, index), f"Topic ARN {trigger.trigger_target_arn} is not valid", code=TRIGGERS)
    if _twice(trigger.trigger_name for trigger in triggers):
        yield Finding(at, "Duplicate Trigger target name detected", code=TRIGGERS)
    if _twice(trigger.trigger_target_arn for trigger in triggers):
        yield Finding(at, "Duplicate Trigger target arn detected", code=TRIGGERS)
    if len(triggers) > MAX_TRIGGERS:
        rule = f"Deployment Groups cannot contain more than {MAX_TRIGGERS} TriggerTargets."
        yield Finding(at, rule, code="TriggerTargetsLimitExceededException")


def _twice(names: Iterable[str]) -> list[str]:
    """The names that are there more than once."""
    every = list(names)
    return [name for name in dict.fromkeys(every) if every.count(name) > 1]
