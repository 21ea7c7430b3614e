"""The work of `towline instances`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from towline.cli import render
from towline.cli.columns import width_of
from towline.cli.event_loop import with_client
from towline.cli.output import has_colour, info, result, result_json, warn
from towline.deployments.instance_list import ListedInstance, list_instances
from towline.model.messages.group import InstanceState
from towline.model.rollout.window import FAILURES

FLEXIBLE = (3, 2, 5, 1)
"""Columns that may be cut, or left out: address, zone, revision, group."""
HEADERS = ("INSTANCE", "GROUP", "ZONE", "ADDRESS", "LAST OUTCOME", "REVISION", "DEPLOYMENT", "")


def instances(group: str, *, as_json: bool) -> None:
    """Prints what runs where. Raises `NotFound`, `TemporalUnavailable`."""
    found = with_client(lambda service: list_instances(service.temporal, group))
    for name, problem in found.problems.items():
        warn(f"{name} on EC2: not known. {problem}")
    if as_json:
        result_json([one.as_json() for one in found.instances])
    elif not found.instances:
        info("No instances. Declare some: towline apply -f towline.yaml")
    else:
        result("\n".join(table_lines(found.instances, width_of(sys.stdout))))


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
