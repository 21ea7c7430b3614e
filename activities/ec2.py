"""EC2 and Auto Scaling as sources of instances, through boto3. Everything here blocks; callers use threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from towline import aws
from towline.errors import NotFound
from towline.model.fleet.selection import Candidate
from towline.model.fleet.targets import Ec2Source
from towline.model.group.group import DeploymentGroup

MakeClient = Callable[[str, str | None], Any]

LIVING = ("pending", "running", "stopping", "stopped")
"""CodeDeploy aims at stopped instances, too, and counts them as failed: leaving them out would hide them."""


@dataclass(frozen=True)
class FoundInstance:
    """An EC2 instance that a group may select, and what is known for reaching it."""

    candidate: Candidate
    source: Ec2Source
    zone: str
    address: str
    state: str


def find_instances(
    make_client: MakeClient, source: Ec2Source, group: DeploymentGroup
) -> tuple[list[FoundInstance], set[str]]:
    """A region's instances that the group might select, and which of its Auto Scaling groups exist there.

    Raises `OurFault` where AWS refuses us or does not answer.
    """
    scaling, known = _auto_scaling(make_client, source.region, group.auto_scaling_groups)
    found = []
    with aws.translated(f"EC2 in {source.region}"):
        pages = make_client("ec2", source.region).get_paginator("describe_instances")
        for page in pages.paginate(Filters=_filters(group), PaginationConfig={"PageSize": 1000}):
            for reservation in page["Reservations"]:
                found += [_found(instance, source, scaling) for instance in reservation["Instances"]]
    return found, known


def check_auto_scaling(group: DeploymentGroup, known: set[str]) -> None:
    """Raises NotFound for an Auto Scaling group that no region has: a name with a typo would select nothing."""
    for name in group.auto_scaling_groups:
        if name not in known:
            raise NotFound(
                f"group {group.application_name}/{group.deployment_group_name}: no Auto Scaling group {name}",
                "Check autoScalingGroups, and the regions under ec2 in towline.yaml.",
                code="AUTO_SCALING_CONFIGURATION",
            )


def _filters(group: DeploymentGroup) -> list[dict[str, Any]]:
    """What EC2 can sort out itself; everything is judged again by our own rules."""
    filters: list[dict[str, Any]] = [{"Name": "instance-state-name", "Values": list(LIVING)}]
    for key, value in group.where.items():
        filters.append({"Name": f"tag:{key}", "Values": [_literal(value)]})
    return filters


def _literal(value: str) -> str:
    """EC2 reads * and ? in a filter's value as wildcards."""
    return "".join(f"\\{letter}" if letter in "\\*?" else letter for letter in value)


def _auto_scaling(make_client: MakeClient, region: str, names: tuple[str, ...]) -> tuple[dict[str, str], set[str]]:
    """Auto Scaling group by instance id, and the groups that exist; instances on their way out are left out."""
    if not names:
        return {}, set()
    by_instance: dict[str, str] = {}
    known: set[str] = set()
    with aws.translated(f"Auto Scaling in {region}"):
        pages = make_client("autoscaling", region).get_paginator("describe_auto_scaling_groups")
        for page in pages.paginate(AutoScalingGroupNames=list(names)):
            for one in page["AutoScalingGroups"]:
                known.add(one["AutoScalingGroupName"])
                for instance in one["Instances"]:
                    if not instance["LifecycleState"].startswith(("Terminat", "Detach")):
                        by_instance[instance["InstanceId"]] = one["AutoScalingGroupName"]
    return by_instance, known


def _found(instance: dict[str, Any], source: Ec2Source, scaling: dict[str, str]) -> FoundInstance:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    name = instance["InstanceId"]
    return FoundInstance(
        candidate=Candidate(name, "ec2", tags, scaling.get(name, "")),
        source=source,
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        address=_address(instance, tags, source.ssh.address or "privateIpAddress"),
        state=instance["State"]["Name"],
    )


def _address(instance: dict[str, Any], tags: dict[str, str], wanted: str) -> str:
    if wanted.startswith("tag:"):
        return tags.get(wanted.removeprefix("tag:"), "")
    # CodeDeploy's and our names begin small: privateIpAddress; EC2's answer has PrivateIpAddress.
    return str(instance.get(wanted[0].upper() + wanted[1:]) or "")
