"""The work of `towline instances`."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from towline.agents.heard import Heard
from towline.cli import render
from towline.cli.agent import agent_json, agent_text, last_polls
from towline.cli.columns import width_of
from towline.cli.event_loop import with_client
from towline.cli.output import has_colour, info, result, result_json, warn
from towline.deployments.instance_list import InstanceList, ListedInstance, list_instances
from towline.deployments.service import DeploymentService
from towline.model.fleet.instance import AgentAccess
from towline.model.messages.group import InstanceState
from towline.model.rollout.window import FAILURES

FLEXIBLE = (3, 2, 5, 1)
"""Columns that may be cut, or left out: address, zone, revision, group."""
AGENT = AgentAccess().shown_as
HEADERS = ("INSTANCE", "GROUP", "ZONE", "ADDRESS", "LAST OUTCOME", "REVISION", "DEPLOYMENT", "")


def instances(group: str, *, as_json: bool) -> None:
    """Prints what runs where. Raises `NotFound`, `TemporalUnavailable`."""
    found, agents = with_client(lambda service: _read(service, group))
    for name, problem in found.problems.items():
        warn(f"{name} on EC2: not known. {problem}")
    if as_json:
        result_json([one.as_json() | _agent_as_json(one, agents) for one in found.instances])
    elif not found.instances:
        info("No instances. Declare some: towline apply -f towline.yaml")
    else:
        result("\n".join(table_lines([_with_agent(one, agents) for one in found.instances], width_of(sys.stdout))))


async def _read(service: DeploymentService, group: str) -> tuple[InstanceList, Mapping[str, Heard]]:
    found = await list_instances(service.temporal, group)
    polls = any(one.address == AGENT for one in found.instances)
    return found, await last_polls(service) if polls else {}


def _with_agent(one: ListedInstance, agents: Mapping[str, Heard]) -> ListedInstance:
    """An instance that polls, with how its agent is in the place of an address."""
    if one.address != AGENT:
        return one
    return dataclasses.replace(one, address=agent_text(agents.get(one.instance), time.time()))


def _agent_as_json(one: ListedInstance, agents: Mapping[str, Heard]) -> dict[str, Any]:
    return {"agent": agent_json(agents.get(one.instance))} if one.address == AGENT else {}


def table_lines(rows: Sequence[ListedInstance], width: int | None = None) -> list[str]:
    """The table: on a screen that is too narrow addresses, zones and revisions are cut, and never a name or an id."""
    lines = render.table([cells(row) for row in rows], HEADERS, width, FLEXIBLE)
    if not has_colour(sys.stdout):
        return lines
    return [click.style(lines[0], bold=True), *(_styled(line, row) for line, row in zip(lines[1:], rows, strict=True))]


def _styled(line: str, row: ListedInstance) -> str:
    if row.state is None or row.is_member is False:
        return click.style(line, dim=True)
    return line if row.state.is_healthy else click.style(line, fg="red", bold=row.state.not_restored)


def cells(one: ListedInstance) -> tuple[str, ...]:
    """As a line of the table."""
    state = one.state
    notes = [
        "not restored" if state and state.not_restored else "",
        "no longer in the group" if one.is_member is False and one.group else "",
    ]
    return (
        one.instance,
        one.group or "(none)",
        one.zone,
        one.address,
        state.outcome.value if state else "never deployed",
        _runs(state) if state else "",
        state.deployment_id if state else "",
        ", ".join(note for note in notes if note),
    )


def _runs(state: InstanceState) -> str:
    """The revision; after a failure it is the one before it, and how much of the new one is there is unknown."""
    return f"was {state.revision}" if state.outcome in FAILURES and state.revision else state.revision
