"""What a CodeDeploy account in AWS declares, in the shape of towline.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from towline import aws
from towline.model.group.unsupported import GROUP, take_out

BATCH = 100
PREDEFINED = "CodeDeployDefault."
SERVER = "Server"
EC2_MEMBERS = ("ec2TagFilters", "ec2TagSet", "autoScalingGroups")


@dataclass
class Account:
    """What an account declares: `manifest` in towline.yaml's shape, and what towline would not do of it."""

    manifest: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


def read_account(region: str | None = None) -> Account:
    """Applications for servers with their groups, configurations and registered instances; blocks.

    How to reach instances is not known to AWS: by their names over SSH, unless the file is changed.

    Raises InvalidInput, OurFault as `towline.aws` does.
    """
    client = aws.client("codedeploy", region)
    account = Account({})
    with aws.translated("CodeDeploy"):
        sections = {
            "applications": list(_applications(client, account.left_out)),
            "deploymentConfigs": list(_configs(client)),
            "instances": list(_instances(client)),
        }
    groups = [group for application in sections["applications"] for group in application.get("deploymentGroups", ())]
    if any(group.get(member) for group in groups for member in EC2_MEMBERS):
        sections["ec2"] = [{"region": client.meta.region_name}]
    account.manifest = {name: section for name, section in sections.items() if section}
    return account


def _applications(client: Any, left_out: list[str]) -> Iterator[dict[str, Any]]:
    names = _all(client, "list_applications", "applications")
    for start in range(0, len(names), BATCH):
        answer = client.batch_get_applications(applicationNames=names[start : start + BATCH])
        for one in answer["applicationsInfo"]:
            name = one["applicationName"]
            if one.get("computePlatform", SERVER) == SERVER:
                groups = list(_groups(client, name, left_out))
                yield {"applicationName": name} | ({"deploymentGroups": groups} if groups else {})
            else:
                left_out.append(f"application {name}: it is for {one['computePlatform']}")


def _groups(client: Any, application: str, left_out: list[str]) -> Iterator[dict[str, Any]]:
    for name in _all(client, "list_deployment_groups", "deploymentGroups", applicationName=application):
        answer = client.get_deployment_group(applicationName=application, deploymentGroupName=name)
        group = answer["deploymentGroupInfo"]
        for problem in take_out(group, GROUP, (), lambda _: 0):
            left_out.append(f"group {application}/{name}: {problem.key}: {problem.rule}")
        yield {key: value for key, value in group.items() if key != "applicationName" and value not in (None, [], {})}


def _configs(client: Any) -> Iterator[dict[str, Any]]:
    for name in _all(client, "list_deployment_configs", "deploymentConfigsList"):
        if not name.startswith(PREDEFINED):
            config = client.get_deployment_config(deploymentConfigName=name)["deploymentConfigInfo"]
            if config.get("computePlatform", SERVER) == SERVER:
                kept = ("deploymentConfigName", "minimumHealthyHosts", "zonalConfig")
                yield {key: config[key] for key in kept if config.get(key)}


def _instances(client: Any) -> Iterator[dict[str, Any]]:
    names = _all(client, "list_on_premises_instances", "instanceNames", registrationStatus="Registered")
    for start in range(0, len(names), BATCH):
        answer = client.batch_get_on_premises_instances(instanceNames=names[start : start + BATCH])
        for one in answer["instanceInfos"]:
            tags = {tag["Key"]: tag["Value"] for tag in one.get("tags", ())}
            yield {"instanceName": one["instanceName"]} | ({"tags": tags} if tags else {})


def _all(client: Any, operation: str, member: str, **arguments: str) -> list[str]:
    """All pages of a list."""
    found: list[str] = []
    for page in client.get_paginator(operation).paginate(**arguments):
        found += page.get(member, [])
    return found
