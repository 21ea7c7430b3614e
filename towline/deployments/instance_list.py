"""What runs where: the catalogue's instances joined with what each group's workflow remembers of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from towline.catalogue.ec2 import ec2_members
from towline.catalogue.repository import Catalogue, of_kind
from towline.deployments.group_history import read_memory
from towline.errors import NotFound
from towline.model.fleet.ec2_members import Ec2Members
from towline.model.fleet.instance import InstanceRecord, SshSettings
from towline.model.fleet.selection import candidate, selects
from towline.model.fleet.targets import NamedSshSettings, target_of
from towline.model.group.group import DeploymentGroup
from towline.model.messages.group import InstanceState
from towline.model.problem import did_you_mean
from towline.model.rollout.order import natural


@dataclass(frozen=True)
class ListedInstance:
    """One instance of one group; `group` empty: it is in none. `state` None: it was never deployed to there."""

    instance: str
    group: str
    zone: str = ""
    address: str = ""
    state: InstanceState | None = None
    is_member: bool | None = None  # None: EC2's, and no worker could tell

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        application, _, group = self.group.partition("/")
        state = self.state
        return {
            "instanceName": self.instance,
            "applicationName": application,
            "deploymentGroupName": group,
            "zone": self.zone,
            "address": self.address,
            "isMember": self.is_member,
            "lastOutcome": state.outcome.value if state else None,
            "revision": state.revision if state else "",
            "sha256": state.sha256 if state else "",
            "deploymentId": state.deployment_id if state else "",
            "isHealthy": bool(state and state.is_healthy),
            "notRestored": bool(state and state.not_restored),
        }


@dataclass(frozen=True)
class InstanceList:
    """The instances in the order of groups and names, and by group why those on EC2 are not known."""

    instances: tuple[ListedInstance, ...]
    problems: Mapping[str, str]


async def list_instances(client: Client, wanted: str = "") -> InstanceList:
    """Return the instances of one group, of an application's groups, or of all.

    Raises `NotFound` for a group or application that does not exist, `TemporalUnavailable`.
    """
    catalogue = Catalogue(client)
    records = await catalogue.read_all("group", "instance", "ssh", "ec2")
    instances = of_kind(records, "instance", InstanceRecord.model_validate)
    settings = of_kind(records, "ssh", NamedSshSettings.model_validate)
    chosen = _chosen(of_kind(records, "group", DeploymentGroup.model_validate), wanted)
    memories = await asyncio.gather(*(read_memory(client, group) for group in chosen.values()))
    sources = of_kind(records, "ec2", dict)
    on_ec2 = await ec2_members(client, chosen.values(), list(sources.values()))
    rows: list[ListedInstance] = []
    problems: dict[str, str] = {}
    for (name, group), (_, states) in zip(chosen.items(), memories, strict=True):
        found = on_ec2.get(name)
        if found and found.problem:
            problems[name] = found.problem
        rows += _rows_of(name, group, instances, states, settings, found)
    if not wanted:
        listed = {row.instance for row in rows}
        free = sorted(instances.keys() - listed, key=natural)
        rows += [_row(instances[name], "", None, settings, is_member=False) for name in free]
    return InstanceList(tuple(rows), problems)


def _chosen(groups: Mapping[str, DeploymentGroup], wanted: str) -> dict[str, DeploymentGroup]:
    chosen = {
        name: groups[name]
        for name in sorted(groups, key=natural)
        if wanted in ("", name) or name.startswith(f"{wanted}/")
    }
    if wanted and not chosen:
        applications = [name.partition("/")[0] for name in groups]
        hint = did_you_mean(wanted, [*groups, *applications]) or "See: towline instances"
        raise NotFound(f"no deployment group {wanted}.", hint)
    return chosen


def _rows_of(
    name: str,
    group: DeploymentGroup,
    instances: Mapping[str, InstanceRecord],
    states: Mapping[str, InstanceState],
    settings: Mapping[str, SshSettings],
    on_ec2: Ec2Members | None,
) -> list[ListedInstance]:
    seen = {one.name: one for one in on_ec2.members} if on_ec2 else {}
    members = {one for one, record in instances.items() if selects(group, candidate(record))}
    rows = []
    for one in sorted({*members, *states, *seen}, key=natural):
        state = states.get(one)
        if one in seen:
            rows.append(ListedInstance(one, name, seen[one].zone, seen[one].address, state, is_member=True))
        elif one in instances:
            rows.append(_row(instances[one], name, state, settings, is_member=one in members))
        else:
            is_unknown = one.startswith("i-") and bool(on_ec2 and on_ec2.problem)
            rows.append(ListedInstance(one, name, state=state, is_member=None if is_unknown else False))
    return rows


def _row(
    record: InstanceRecord,
    group: str,
    state: InstanceState | None,
    settings: Mapping[str, SshSettings],
    *,
    is_member: bool,
) -> ListedInstance:
    try:
        address = target_of(record, settings).address
    except KeyError as error:
        address = f"? (no ssh settings {error.args[0]})"
    return ListedInstance(record.instance_name, group, record.zone, address, state, is_member)
