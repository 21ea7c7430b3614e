"""What a deployment would do, before it is started: messages between client and worker. Pure."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Mapping

from pydantic import Field

from towline.model.base import Message
from towline.model.deployment.status import Outcome
from towline.model.deployment.target import TargetDetails
from towline.model.deployment.timeline import seconds_between
from towline.model.host.events import HostPlan, HostRefusal, HostRevision
from towline.model.host.order import HostAnswer
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.fleet import FleetMember
from towline.model.rollout.health import has_succeeded

PATHS_TOLD = 200
"""Of each kind, and for each set of hosts with the same changes; the counts are of all."""


class AskPreview(Message):
    """Asks what this request would do. `git_hub_token` and the like are the group's, as for a deployment."""

    request: DeployRequest


class HostChanges(Message):
    """What would happen on a host: paths (at most 200 of each), how many in all, scripts as `event: location`."""

    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed_count: int = 0
    added_count: int = 0
    changed_count: int = 0
    unchanged: int = 0
    run: tuple[str, ...] = ()
    back_to: str = ""  # of an undo: the revision that would run afterwards; empty: nothing of this group
    nothing: str = ""  # of an undo: why there is nothing to do
    warnings: tuple[str, ...] = ()
    problem: str = ""  # why Install would fail there
    is_complete: bool = True  # False: the host could not tell about files


class HostPreview(Message):
    """One instance in its turn; `changes` names an entry of the preview's `changes`."""

    name: str
    address: str = ""
    zone: str = ""
    rank: str = ""
    runs_now: str = ""
    changes: str = ""
    trouble: str = ""  # why the host could not be asked, or would refuse


class Preview(Message):
    """The answer. Hosts are in rollout order."""

    application: str
    group: str
    config: str
    revision: str = ""
    sha256: str = ""
    size: int = 0
    slots: int = 0
    minimum_healthy: int = 0
    hosts: tuple[HostPreview, ...] = ()
    changes: dict[str, HostChanges] = Field(default_factory=dict)
    estimate_seconds: float | None = None
    warnings: tuple[str, ...] = ()
    problem: str = ""  # why the deployment would end at once
    would_fail: str = ""  # why it would fail on too many of its instances


RANKS = ("not restored", "unhealthy", "unknown", "old", "current")


def hosts_of(
    members: Iterable[FleetMember], answers: Mapping[str, HostAnswer], roots: Mapping[str, str] | None = None
) -> tuple[tuple[HostPreview, ...], dict[str, HostChanges]]:
    """The hosts in order, and the distinct sets of changes by a short name: most hosts of a fleet have the same.

    `roots` are the root prefixes of `local` instances by name: their paths are shown as on a real host.
    """
    members = list(members)
    others = _other_names([member.name for member in members], answers)
    hosts: list[HostPreview] = []
    distinct: dict[str, HostChanges] = {}
    for member in members:
        answered = answers.get(member.name)
        root = (roots or {}).get(member.name, "").rstrip("/")
        changes = _changes(answered.answer, root) if answered and isinstance(answered.answer, HostPlan) else None
        name = _digest(changes) if changes else ""
        if changes:
            distinct.setdefault(name, changes)
        hosts.append(
            HostPreview(
                name=member.name,
                address=member.address,
                zone=member.zone,
                rank=RANKS[member.rank] if 0 <= member.rank < len(RANKS) else "",
                runs_now=_runs_now(answered),
                changes=name,
                trouble=_trouble(answered)
                or (f"is the same host as {others[member.name]}: declare it once" if member.name in others else ""),
            )
        )
    return tuple(hosts), distinct


def verdict(
    hosts: Iterable[HostPreview], changes: Mapping[str, HostChanges], floor: int, *, is_undo: bool = False
) -> str:
    """Why a deployment would fail, by what its instances answered; empty where enough of them can succeed.

    An instance that cannot be asked counts as one that fails: a deployment could not reach it either. An undo has
    succeeded only where every instance has.

    >>> bad = HostPreview(name="web-01", trouble="cannot be asked: no route")
    >>> verdict([bad, HostPreview(name="web-02")], {}, floor=1)
    ''
    >>> verdict([bad], {}, floor=0)
    'the deployment would fail: 1 of 1 instances cannot be deployed to (web-01: cannot be asked: no route)'
    """
    every = list(hosts)
    reasons = {host.name: host.trouble or _problem_of(changes.get(host.changes)) for host in every}
    failing = [name for name, reason in reasons.items() if reason]
    if not failing or (not is_undo and has_succeeded(floor, len(every) - len(failing))):
        return ""
    needed = "" if is_undo or not floor else f", and {floor} must succeed"
    first = f"{failing[0]}: {reasons[failing[0]]}".rstrip(".")
    return (
        f"the deployment would fail: {len(failing)} of {len(every)} instances cannot be deployed to{needed} ({first})"
    )


def _problem_of(changes: HostChanges | None) -> str:
    return f"Install would fail: {changes.problem}" if changes and changes.problem else ""


def estimate(last: Iterable[TargetDetails], hosts: int, slots: int) -> float | None:
    """Seconds that a rollout may take, from the instances of the last one: the usual one, as many times as waves.

    >>> one = TargetDetails(Outcome.SUCCEEDED, start_time="2025-01-01T00:00:00", end_time="2025-01-01T00:00:04")
    >>> estimate([one], hosts=10, slots=4)
    12.0
    """
    took = [seconds_between(one.start_time, one.end_time) for one in last if one.outcome is Outcome.SUCCEEDED]
    known = [seconds for seconds in took if seconds is not None]
    return round(statistics.median(known) * math.ceil(hosts / max(1, slots)), 3) if known and hosts else None


def _changes(plan: HostPlan, root: str) -> HostChanges:
    removed, added, changed = (
        [path.removeprefix(root) for path in paths] for paths in (plan.removed, plan.added, plan.changed)
    )
    return HostChanges(
        removed=tuple(removed[:PATHS_TOLD]),
        added=tuple(added[:PATHS_TOLD]),
        changed=tuple(changed[:PATHS_TOLD]),
        removed_count=len(removed),
        added_count=len(added),
        changed_count=len(changed),
        unchanged=plan.unchanged,
        back_to=_label(plan.back_to),
        nothing=plan.nothing,
        run=tuple(f"{one.event}: {one.location}" for one in plan.run),
        warnings=tuple(warning.replace(root or "\0", "") for warning in plan.warnings),
        problem=plan.problem.replace(root or "\0", ""),
        is_complete=plan.complete,
    )


def _runs_now(answered: HostAnswer | None) -> str:
    """The label of what the host has installed for this group; empty for nothing, or for a host that was not asked."""
    return _label(answered.answer.runs_now) if answered and isinstance(answered.answer, HostPlan) else ""


def _label(revision: HostRevision | None) -> str:
    return revision.label or revision.deployment if revision else ""


def _other_names(names: Iterable[str], answers: Mapping[str, HostAnswer]) -> dict[str, str]:
    """Of hosts that answered under several names: the first name in rollout order, by each further name."""
    first: dict[str, str] = {}
    others = {}
    for name in names:
        answered = answers.get(name)
        machine = answered.answer.machine if answered and isinstance(answered.answer, HostPlan) else ""
        if machine and first.setdefault(machine, name) != name:
            others[name] = first[machine]
    return others


def _trouble(answered: HostAnswer | None) -> str:
    if answered is None:
        return "was not asked"
    if answered.fault:
        return f"cannot be asked: {answered.fault.message}  {answered.fault.hint}".rstrip()
    if not isinstance(answered.answer, HostRefusal):
        return ""
    return f"would refuse: {answered.answer.message}  {answered.answer.hint}".rstrip()


def _digest(changes: HostChanges) -> str:
    return hashlib.sha256(json.dumps(changes.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:12]
