"""The rules of towline.yaml beyond its shape: limits and combinations of CodeDeploy and towline. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from towline.model.fleet.instance import SshSettings
from towline.model.fleet.ranges import expand, is_range
from towline.model.fleet.targets import ADDRESSES
from towline.model.group.config import DeploymentConfig, MinimumHealthyHosts
from towline.model.group.group import AutoRollback, DeploymentGroup, TagFilter
from towline.model.manifest.finding import Finding
from towline.model.manifest.shape import ManifestEc2, ManifestInstance
from towline.model.manifest.traffic_rules import traffic_findings
from towline.model.problem import Severity, did_you_mean
from towline.model.shape_problems import NAME_RULE
from towline.model.yaml.document import Location

RESERVED = "CodeDeployDefault."
MAX_TAG_SETS, MAX_TAG_FILTERS, MAX_AUTO_SCALING_GROUPS, MAX_PROCESSES = 3, 10, 10, 4
MAX_KEY, MAX_VALUE = 128, 256
SECRET = re.compile(r"(env|file|secretsmanager|ssm):\S.*")
_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,100}")
_BRACES = re.compile(r"\{[^{}]*\}")


def group_findings(group: DeploymentGroup, application: str, at: Location) -> Iterator[Finding]:
    """The rules of a deployment group (codedeploy: tag combinations, limits, automatic rollback)."""
    if group.application_name != application:
        rule = f"is under application {application} but names {group.application_name}"
        yield Finding((*at, "applicationName"), rule, "Leave it out.")
    if group.ec2_tag_filters and group.ec2_tag_set:
        yield Finding((*at, "ec2TagSet"), "ec2TagFilters and ec2TagSet may not be used together", "Keep one of them.")
    if group.on_premises_instance_tag_filters and group.on_premises_tag_set:
        rule = "onPremisesInstanceTagFilters and onPremisesTagSet may not be used together"
        yield Finding((*at, "onPremisesTagSet"), rule, "Keep one of them.")
    yield from _filter_findings(group.ec2_tag_filters, (*at, "ec2TagFilters"))
    yield from _filter_findings(group.on_premises_instance_tag_filters, (*at, "onPremisesInstanceTagFilters"))
    if group.ec2_tag_set:
        yield from _set_findings(group.ec2_tag_set.ec2_tag_set_list, (*at, "ec2TagSet", "ec2TagSetList"))
    if group.on_premises_tag_set:
        lists = group.on_premises_tag_set.on_premises_tag_set_list
        yield from _set_findings(lists, (*at, "onPremisesTagSet", "onPremisesTagSetList"))
    if len(group.auto_scaling_groups) > MAX_AUTO_SCALING_GROUPS:
        yield Finding((*at, "autoScalingGroups"), f"at most {MAX_AUTO_SCALING_GROUPS} Auto Scaling groups")
    options = group.ec2_deployment_options
    if options and len(options.auto_scaling_group_processes_to_suspend) > MAX_PROCESSES:
        yield Finding((*at, "ec2DeploymentOptions"), f"at most {MAX_PROCESSES} processes to suspend")
    yield from rollback_findings(group.auto_rollback_configuration, (*at, "autoRollbackConfiguration"))
    yield from traffic_findings(group, at)
    if group.git_hub_token is not None and not SECRET.fullmatch(group.git_hub_token):
        rule = "a secret is named here, never written: env:NAME, file:PATH, secretsmanager:ID or ssm:NAME"
        yield Finding((*at, "gitHubToken"), rule)
    if group.timeout_seconds <= 0:
        yield Finding((*at, "timeoutSeconds"), "must be more than 0")
    if not _selects_something(group):
        rule = "selects no instance: it has neither tag filters nor Auto Scaling groups"
        hint = "onPremisesInstanceTagFilters selects declared instances, ec2TagFilters those of EC2."
        yield Finding((*at, "deploymentGroupName"), rule, hint, Severity.WARNING)


def rollback_findings(rollback: AutoRollback, at: Location) -> Iterator[Finding]:
    """The rule of automatic rollback, a group's or a deployment's own."""
    if rollback.enabled and not rollback.events:
        rule = "Deployment Groups need to have at least one event specified when auto rollback is enabled"
        hint = "Add DEPLOYMENT_FAILURE, DEPLOYMENT_STOP_ON_REQUEST or both."
        yield Finding(at, rule, hint, code="InvalidAutoRollbackConfigException")


def _selects_something(group: DeploymentGroup) -> bool:
    ec2 = group.ec2_tag_set.ec2_tag_set_list if group.ec2_tag_set else ()
    on_premises = group.on_premises_tag_set.on_premises_tag_set_list if group.on_premises_tag_set else ()
    flat = (group.ec2_tag_filters, group.on_premises_instance_tag_filters, group.auto_scaling_groups)
    return any(flat) or any(ec2) or any(on_premises)


def _set_findings(lists: tuple[tuple[TagFilter, ...], ...], at: Location) -> Iterator[Finding]:
    if len(lists) > MAX_TAG_SETS:
        yield Finding(at, f"at most {MAX_TAG_SETS} lists of tag filters")
    for index, filters in enumerate(lists):
        yield from _filter_findings(filters, (*at, index))


def _filter_findings(filters: tuple[TagFilter, ...], at: Location) -> Iterator[Finding]:
    if len(filters) > MAX_TAG_FILTERS:
        yield Finding(at, f"at most {MAX_TAG_FILTERS} tag filters in one list")
    for index, one in enumerate(filters):
        place = (*at, index)
        if one.type != "VALUE_ONLY" and not one.key:
            yield Finding(place, f"a filter of type {one.type} needs Key")
        if one.type == "VALUE_ONLY" and not one.value:
            yield Finding(place, "a filter of type VALUE_ONLY needs Value")
        if len(one.key or "") > MAX_KEY or len(one.value or "") > MAX_VALUE:
            yield Finding(place, f"a tag's key has at most {MAX_KEY} characters, its value {MAX_VALUE}")


def config_findings(config: DeploymentConfig, at: Location) -> Iterator[Finding]:
    """The rules of a deployment configuration."""
    if config.deployment_config_name.startswith(RESERVED):
        yield Finding((*at, "deploymentConfigName"), f"names that begin with {RESERVED} are CodeDeploy's own")
    yield from _minimum_findings(config.minimum_healthy_hosts, (*at, "minimumHealthyHosts"))
    zonal = config.zonal_config
    if zonal and zonal.minimum_healthy_hosts_per_zone:
        place = (*at, "zonalConfig", "minimumHealthyHostsPerZone")
        yield from _minimum_findings(zonal.minimum_healthy_hosts_per_zone, place)


def _minimum_findings(minimum: MinimumHealthyHosts, at: Location) -> Iterator[Finding]:
    if minimum.type == "MOST_CONCURRENCY":
        rule = "MOST_CONCURRENCY is only shown, for CodeDeployDefault.OneAtATime; it cannot be set"
        yield Finding((*at, "type"), rule, "Use HOST_COUNT or FLEET_PERCENT.")


def instance_findings(instance: ManifestInstance, at: Location) -> Iterator[Finding]:
    """The rules of an instance, ranges included."""
    yield from _way_findings([way for way in WAYS if getattr(instance, WAYS[way]) is not None], at)
    try:
        names = expand(instance.instance_name)
    except ValueError as error:
        yield Finding((*at, "instanceName"), str(error))
        return
    bad = next((name for name in names if not _NAME.fullmatch(name)), None)
    if bad is not None:
        yield Finding((*at, "instanceName"), f"{bad!r}: a name has {NAME_RULE}")
    elif instance.instance_name.startswith("i-"):
        yield Finding((*at, "instanceName"), "names that begin with i- are EC2's")
    for key, value in instance.tags.items():
        if not key or len(key) > MAX_KEY or len(value) > MAX_VALUE:
            rule = f"a tag's key has 1 to {MAX_KEY} characters, its value at most {MAX_VALUE}"
            yield Finding((*at, "tags", key), rule)
    if is_range(instance.instance_name):
        host = instance.ssh.host if instance.ssh else None
        if host is not None and "{name}" not in host and len(names) > 1:
            yield Finding((*at, "ssh", "host"), f"{len(names)} instances would be one host", 'Write "{name}" in it.')
        if instance.local and "{name}" not in instance.local.root and len(names) > 1:
            rule = f"{len(names)} instances would share one root"
            yield Finding((*at, "local", "root"), rule, 'Write "{name}" in it.')
    if instance.ssh:
        yield from ssh_findings(instance.ssh, (*at, "ssh"))
    if instance.local:
        yield from _brace_findings(instance.local.root, (*at, "local", "root"))


WAYS = {"ssh": "ssh", "local": "local", "agent": "agent", "codedeployAgent": "codedeploy_agent", "fake": "fake"}
"""The ways to reach an instance, as written, and their fields."""


def _way_findings(ways: list[str], at: Location) -> Iterator[Finding]:
    if len(ways) > 1:
        yield Finding((*at, ways[1]), f"an instance is reached one way, not by {' and '.join(ways)}", "Keep one.")


def ssh_findings(ssh: SshSettings, at: Location, *, is_ec2: bool = False) -> Iterator[Finding]:
    """The rules of SSH settings in any section."""
    if ssh.port is not None and not 0 < ssh.port < 65536:
        yield Finding((*at, "port"), "a port is a number from 1 to 65535")
    if ssh.proxy_jump and not 0 < ssh.proxy_jump.port < 65536:
        yield Finding((*at, "proxyJump", "port"), "a port is a number from 1 to 65535")
    if ssh.host is not None:
        yield from _brace_findings(ssh.host, (*at, "host"))
    if ssh.address is not None and ssh.address not in ADDRESSES and not ssh.address.startswith("tag:"):
        hint = did_you_mean(ssh.address, ADDRESSES)
        yield Finding((*at, "address"), f"must be one of {', '.join(ADDRESSES)}, tag:NAME", hint)
    if is_ec2 and ssh.host is not None:
        yield Finding((*at, "host"), "the host of an EC2 instance is found", "Say which attribute: address: …")


def ec2_findings(source: ManifestEc2, at: Location) -> Iterator[Finding]:
    """The rules of an ec2 source."""
    yield from ssh_findings(source.ssh, (*at, "ssh"), is_ec2=True)
    if source.agent is not None and "ssh" in source.model_fields_set:
        yield from _way_findings(["ssh", "agent"], at)


def settings_findings(named: Iterable[tuple[str, SshSettings]], at: Location) -> Iterator[Finding]:
    """The rules of the named SSH settings."""
    for name, settings in named:
        if not _NAME.fullmatch(name):
            yield Finding((*at, name), f"a name has {NAME_RULE}")
        if settings.host is not None and "{name}" not in settings.host:
            yield Finding((*at, name, "host"), "every instance that uses these would be one host", 'Write "{name}".')
        yield from ssh_findings(settings, (*at, name))


def _brace_findings(text: str, at: Location) -> Iterator[Finding]:
    unknown = [found for found in _BRACES.findall(text) if found != "{name}"]
    if unknown:
        yield Finding(at, f"{unknown[0]} is not a known placeholder", "Only {name} is filled in.")
