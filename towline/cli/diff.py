"""What `towline apply` shows: one line per record that would change, then the members of each group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from towline.model.catalogue.changes import CatalogueChanges, RecordChange, shortened
from towline.model.fleet.selection import Membership

MOST_LINES = 20
_COLOURS = {"+": "green", "~": "yellow", "-": "red"}
_WORDS = {"config": "configuration", "ssh": "ssh settings", "ec2": "ec2 region"}
_OWN_NAMES = ("applicationName", "deploymentGroupName", "deploymentConfigName", "instanceName", "region")


def diff_lines(changes: CatalogueChanges, groups: Iterable[Membership], *, colour: bool = False) -> list[str]:
    """The whole plan, as lines for people."""
    lines = [line for change in _drawn_together(changes.changes) for line in _change_lines(*change, colour)]
    members = [line for group in groups for line in _member_lines(group)]
    if members:
        lines += ["", "Members (declared instances):", *members]
    lines += [f"  {note}" for note in changes.notes]
    if not changes.changes:
        return [*lines, f"Nothing to change: {changes.unchanged} records are as declared."]
    plus, tilde, minus = (len(changes.of(sign)) for sign in "+~-")
    total = f"Plan: {plus} to add, {tilde} to change, {minus} to remove, {changes.unchanged} unchanged."
    return [*lines, "", total]


def _drawn_together(changes: Iterable[RecordChange]) -> Iterator[tuple[list[str], RecordChange]]:
    """Instances to which the same happens share a line: 10,000 of them are common."""
    together: dict[object, list[RecordChange]] = {}
    for change in changes:
        is_instance = change.key.startswith("instance/")
        same: object = (change.sign, change.fields if change.sign == "~" else ()) if is_instance else change.key
        together.setdefault(same, []).append(change)
    for number, alike in enumerate(together.values()):
        if number == MOST_LINES * 5:
            left = sum(len(others) for others in list(together.values())[number:])
            yield [f"… and {left} more"], RecordChange(alike[0].sign, "", None, None, None)
            return
        yield [change.key.partition("/")[2] for change in alike], alike[0]


def _change_lines(names: list[str], change: RecordChange, colour: bool) -> Iterator[str]:
    kind = change.key.partition("/")[0]
    word = _WORDS.get(kind, kind) + ("s" if kind == "instance" and len(names) > 1 else "")
    line = f"{change.sign} {word} {shortened(names)}".replace("  ", " ")
    yield "  " + (click.style(line, fg=_COLOURS[change.sign]) if colour else line)
    if change.sign == "-" or (change.sign == "+" and kind == "instance"):
        return
    shown = [field for field in change.fields if change.sign == "~" or not _is_its_name(field, kind)]
    for field in shown[:MOST_LINES]:
        yield f"      {field}"
    if len(shown) > MOST_LINES:
        yield f"      … and {len(shown) - MOST_LINES} more"


def _is_its_name(field: str, kind: str) -> bool:
    name = field.partition(":")[0]
    # A group's configuration is worth a line; a configuration's own name is not, nor is the file's own owner.
    return name == "owner" or (name in _OWN_NAMES and not (kind == "group" and name == "deploymentConfigName"))


def _member_lines(group: Membership) -> Iterator[str]:
    count = f"{len(group.members)} instance{'' if len(group.members) == 1 else 's'}"
    yield f"  {group.group}: {count}" + (f": {shortened(group.members)}" if group.members else "")
    if group.gained and not group.is_new:
        yield f"      gains {shortened(group.gained)}"
    if group.lost:
        yield f"      loses {shortened(group.lost)}"
