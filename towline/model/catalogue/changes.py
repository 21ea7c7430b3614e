"""What `towline apply` would change: declared records against those that exist. Pure.

Absent never means delete; `prune` removes what the same owner once applied and no longer declares, and only that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from towline.model.catalogue.records import Change, Kind, Record
from towline.model.fleet.instance import InstanceRecord
from towline.model.fleet.selection import Membership, candidate, members, membership
from towline.model.group.config import DEFAULT_CONFIG
from towline.model.group.group import DeploymentGroup, group_id_in, unused_group_id
from towline.model.rollout.order import natural

APPLIED: tuple[Kind, ...] = ("application", "group", "config", "ssh", "ec2", "instance")
"""The kinds of records that `apply` reads and writes, in the order in which it shows them."""


@dataclass(frozen=True)
class RecordChange:
    """One record that is to be added, changed or removed. `fields` tells what differs, a line each."""

    sign: Literal["+", "~", "-"]
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    version: int | None
    fields: tuple[str, ...] = ()

    @property
    def change(self) -> Change:
        """What the catalogue is asked to do."""
        return Change(key=self.key, version=self.version, value=self.after)


@dataclass(frozen=True)
class CatalogueChanges:
    """Everything that would change, in the order in which it is shown; `notes` say what was left, and why."""

    changes: tuple[RecordChange, ...] = ()
    unchanged: int = 0
    notes: tuple[str, ...] = ()
    after: dict[str, dict[str, Any]] = field(default_factory=dict)  # all records as they will be

    def of(self, sign: str) -> list[RecordChange]:
        """Those of one sign."""
        return [change for change in self.changes if change.sign == sign]


def diff(
    declared: Mapping[str, dict[str, Any]],
    existing: Mapping[str, Record],
    owners: Iterable[str] = (),
    *,
    prune: bool = False,
) -> CatalogueChanges:
    """Compares; `existing` are the catalogue's records of the kinds in `APPLIED`."""
    found: list[RecordChange] = []
    ids = group_ids(existing)
    for key, value in declared.items():
        old = existing.get(key)
        after = settled(key, value, old.value if old else None, ids)
        if old is None:
            found.append(RecordChange("+", key, None, after, None, tuple(_lines({}, after))))
        elif old.value != after:
            fields = tuple(_lines(old.value, after))
            found.append(RecordChange("~", key, old.value, after, old.version, fields))
    removed, notes = _pruned(declared, existing, set(owners)) if prune else ([], [])
    found.extend(removed)
    after_all = {key: record.value for key, record in existing.items()}
    for change in found:
        if change.after is None:
            del after_all[change.key]
        else:
            after_all[change.key] = change.after
    unchanged = len(declared) - sum(change.sign != "-" for change in found)
    return CatalogueChanges(tuple(sorted(found, key=_shown_order)), unchanged, tuple(notes), after_all)


def group_ids(records: Mapping[str, Record]) -> set[str]:
    """The ids of all groups among the records."""
    named = ((key.split("/"), record.value) for key, record in records.items() if key.startswith("group/"))
    return {group_id_in(application, group, value) for (_, application, group), value in named}


def settled(
    key: str, declared: dict[str, Any], old: dict[str, Any] | None, ids: Collection[str] = ()
) -> dict[str, Any]:
    """The record to write: what is decided once and kept (a group's id), and the owner where none is declared.

    `ids` are those of all groups that exist.
    """
    value = dict(declared)
    if old and "owner" in old:
        value.setdefault("owner", old["owner"])
    if key.startswith("group/"):
        _, application, group = key.split("/")
        kept = unused_group_id(application, group, ids) if old is None else group_id_in(application, group, old)
        value.setdefault("deploymentGroupId", kept)
    return value


def memberships(changes: CatalogueChanges, existing: Mapping[str, Record]) -> list[Membership]:
    """The declared members of every group that is declared or changes, and what each gains and loses."""
    before = {key: record.value for key, record in existing.items()}
    then, now = _members_of_all(before), _members_of_all(changes.after)
    touched = {change.key for change in changes.changes}
    found = []
    for key, names in now.items():
        one = membership(key.partition("/")[2], names, then.get(key))
        if key in touched or one.gained or one.lost:
            found.append(one)
    return sorted(found, key=lambda one: natural(one.group))


def _members_of_all(records: Mapping[str, dict[str, Any]]) -> dict[str, list[str]]:
    instances = [
        candidate(InstanceRecord.model_validate(value)) for key, value in records.items() if key.startswith("instance/")
    ]
    groups = {k: DeploymentGroup.model_validate(value) for k, value in records.items() if k.startswith("group/")}
    return {key: members(group, instances) for key, group in groups.items()}


def _shown_order(change: RecordChange) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    return APPLIED.index(_kind(change.key)), natural(change.key)


def _kind(key: str) -> Kind:
    return key.partition("/")[0]  # type: ignore[return-value]


def _pruned(
    declared: Mapping[str, dict[str, Any]], existing: Mapping[str, Record], owners: set[str]
) -> tuple[list[RecordChange], list[str]]:
    gone = {
        key
        for key, record in existing.items()
        if _kind(key) in APPLIED and key not in declared and record.value.get("owner") in owners - {""}
    }
    left = {key: record.value for key, record in existing.items() if key not in gone} | dict(declared)
    notes = []
    for key in sorted(gone):
        user = _user_of(key, left)
        if user:
            notes.append(f"{key.replace('/', ' ', 1)} stays: {user} needs it")
            gone.discard(key)
    removed = [RecordChange("-", key, existing[key].value, None, existing[key].version) for key in gone]
    return removed, notes


def _user_of(key: str, left: Mapping[str, dict[str, Any]]) -> str:
    """A record of those left that would be broken without this one, or ''."""
    kind, _, name = key.partition("/")
    for other, value in left.items():
        needs = (
            (kind == "application" and other.startswith(f"group/{name}/"))
            or (
                kind == "config"
                and other.startswith("group/")
                and value.get("deploymentConfigName", DEFAULT_CONFIG) == name
            )
            or (kind == "ssh" and name in (value.get("use"), value.get("ssh", {}).get("use")))
        )
        if needs:
            return other.replace("/", " ", 1)
    return ""


def _lines(before: dict[str, Any], after: dict[str, Any]) -> Iterable[str]:
    """`zone: a → b`, one line per field that differs; mappings are gone into."""
    old, new = _flat(before), _flat(after)
    for name in sorted({*old, *new}, key=list({**new, **old}).index):
        if name not in old:
            yield f"{name}: {new[name]}"
        elif name not in new:
            yield f"{name}: {old[name]} → (none)"
        elif old[name] != new[name]:
            yield f"{name}: {old[name]} → {new[name]}"


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flat(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    return flat


def shortened(names: Sequence[str], most: int = 12) -> str:
    """Names for people: runs of numbers are drawn together, a long list is cut.

    >>> shortened(["web-008", "web-009", "web-010", "db-1"])
    'web-[008:010], db-1'
    """
    runs: list[list[str]] = []
    for name in names:
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    texts = []
    for run in runs:
        texts.extend([_as_range(run[0], run[-1])] if len(run) > 2 else run)
    shown = ", ".join(texts[:most])
    return f"{shown} … ({len(names)} in all)" if len(texts) > most else shown


def _split(name: str) -> tuple[str, str]:
    stem = name.rstrip("0123456789")
    return stem, name[len(stem) :]


def _follows(first: str, second: str) -> bool:
    (stem, number), (other, following) = _split(first), _split(second)
    return bool(number and following and stem == other and f"{int(number) + 1:0{len(number)}d}" == following)


def _as_range(first: str, last: str) -> str:
    (stem, number), (_, end) = _split(first), _split(last)
    return f"{stem}[{number}:{end}]"
