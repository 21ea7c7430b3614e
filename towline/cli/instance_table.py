"""What runs where: the catalogue's instances joined with what each group's workflow remembers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from temporalio.client import Client

from towline.catalogue.client import Catalogue, of_kind
from towline.cli import render
from towline.cli.columns import width_of
from towline.cli.door import run_story
from towline.cli.ec2 import ec2_members
from towline.cli.output import has_colour, result, result_json, say, warn
from towline.deployments.group_history import read_memory
from towline.errors import NotFound
from towline.model.fleet.ec2_members import Ec2Members
from towline.model.fleet.instance import InstanceRecord, SshSettings
from towline.model.fleet.selection import candidate, selects
from towline.model.fleet.targets import NamedSshSettings, target_of
from towline.model.group.group import DeploymentGroup
from towline.model.messages import InstanceState
from towline.model.problem import did_you_mean
from towline.model.rollout.order import natural
from towline.model.rollout.window import FAILURES

FLEXIBLE = (5, 3, 2, 1)
"""Columns that may be cut: revision, address, zone, group."""
HEADERS = ("INSTANCE", "GROUP", "ZONE", "ADDRESS", "LAST OUTCOME", "REVISION", "DEPLOYMENT", "")


@dataclass(frozen=True)
class Row:
    """One instance of one group; `group` empty: it is in none. `state` None: nobody has deployed to it there."""

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
            "isOwed": bool(state and state.is_owed),
        }

    def cells(self) -> tuple[str, ...]:
        """As a line of the table."""
        state = self.state
        notes = [
            "owed" if state and state.is_owed else "",
            "no longer in the group" if self.is_member is False and self.group else "",
        ]
        return (
            self.instance,
            self.group or "(none)",
            self.zone,
            self.address,
            state.outcome.value if state else "never deployed",
            _runs(state) if state else "",
            state.deployment_id if state else "",
            ", ".join(note for note in notes if note),
        )


def _runs(state: InstanceState) -> str:
    """The revision; after a failure it is the one before it, and what of the new one is there nobody knows."""
    return f"was {state.revision}" if state.outcome in FAILURES and state.revision else state.revision


def show(group: str, *, as_json: bool) -> None:
    """The whole command. Raises `NotFound`, `TemporalUnavailable`."""

    async def story() -> list[Row]:
        from towline.settings import read_settings
        from towline.temporal import connect_temporal

        return await read_rows(await connect_temporal(read_settings()), group)

    rows = run_story(story)
    if as_json:
        result_json([row.as_json() for row in rows])
    elif not rows:
        say("No instances. Declare some: towline apply -f towline.yaml")
    else:
        result("\n".join(table_lines(rows, width_of(sys.stdout))))


async def read_rows(client: Client, wanted: str = "") -> list[Row]:
    """The rows of one group, of an application's groups, or of all; in the order of groups and names."""
    catalogue = Catalogue(client)
    records = await catalogue.read_all("group", "instance", "ssh", "ec2")
    instances = of_kind(records, "instance", InstanceRecord.model_validate)
    settings = of_kind(records, "ssh", NamedSshSettings.model_validate)
    chosen = _chosen(of_kind(records, "group", DeploymentGroup.model_validate), wanted)
    memories = await asyncio.gather(*(read_memory(client, group) for group in chosen.values()))
    sources = of_kind(records, "ec2", dict)
    on_ec2 = await ec2_members(client, chosen.values(), list(sources.values()))
    rows: list[Row] = []
    for (name, group), (_, states) in zip(chosen.items(), memories, strict=True):
        found = on_ec2.get(name)
        if found and found.problem:
            warn(f"{name} on EC2: not known. {found.problem}")
        rows += _rows_of(name, group, instances, states, settings, found)
    if not wanted:
        listed = {row.instance for row in rows}
        free = sorted(instances.keys() - listed, key=natural)
        rows += [_row(instances[name], "", None, settings, is_member=False) for name in free]
    return rows


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
) -> list[Row]:
    seen = {one.name: one for one in on_ec2.members} if on_ec2 else {}
    members = {one for one, record in instances.items() if selects(group, candidate(record))}
    rows = []
    for one in sorted({*members, *states, *seen}, key=natural):
        state = states.get(one)
        if one in seen:
            rows.append(Row(one, name, seen[one].zone, seen[one].address, state, is_member=True))
        elif one in instances:
            rows.append(_row(instances[one], name, state, settings, is_member=one in members))
        else:
            is_unknown = one.startswith("i-") and bool(on_ec2 and on_ec2.problem)
            rows.append(Row(one, name, state=state, is_member=None if is_unknown else False))
    return rows


def _row(
    record: InstanceRecord,
    group: str,
    state: InstanceState | None,
    settings: Mapping[str, SshSettings],
    *,
    is_member: bool,
) -> Row:
    try:
        address = target_of(record, settings).address
    except KeyError as error:
        address = f"? (no ssh settings {error.args[0]})"
    return Row(record.instance_name, group, record.zone, address, state, is_member)


def table_lines(rows: list[Row], width: int | None = None) -> list[str]:
    """The table: on a screen that is too narrow revision and address are cut, and never a name or an id."""
    lines = render.table([row.cells() for row in rows], HEADERS, width, FLEXIBLE)
    if not has_colour(sys.stdout):
        return lines
    return [click.style(lines[0], bold=True), *(_styled(line, row) for line, row in zip(lines[1:], rows, strict=True))]


def _styled(line: str, row: Row) -> str:
    if row.state is None or row.is_member is False:
        return click.style(line, dim=True)
    return line if row.state.is_healthy else click.style(line, fg="red", bold=row.state.is_owed)
