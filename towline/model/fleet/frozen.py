"""The frozen fleet of a deployment: its instances, their order, and the pages they are split into. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from towline.model.deployment.store_keys import page_key
from towline.model.fleet.instance import Target
from towline.model.messages.deploy import Undo
from towline.model.messages.fleet import Fleet, FleetMember, FleetPage, ReadFleet
from towline.model.messages.group import GroupView, InstanceState
from towline.model.rollout.order import Rank, Standing, ordered, rank

ADDRESSES_BYTES = 1536 * 1024
"""Above this size the addresses, which are only for display, are left out: a payload is limited to 2 MiB."""


@dataclass(frozen=True)
class FrozenFleet:
    """The fleet for the workflow, and the pages by store key for the activities."""

    fleet: Fleet
    pages: dict[str, FleetPage]


def freeze(
    request: ReadFleet,
    targets: Mapping[str, Target],
    states: Mapping[str, InstanceState],
    group: GroupView | None,
    warnings: Iterable[str] = (),
) -> FrozenFleet:
    """Ranks, orders and pages the instances by the group's state (`group` None: no deployment yet)."""
    label, sha256 = (group.revision, group.sha256) if group else ("", "")
    ranks = {name: rank(states.get(name), label, sha256) for name in targets}
    chosen = [name for name in targets if not (request.outdated_only and _runs_it(request, states.get(name)))]
    names = ordered((Standing(name, targets[name].zone, ranks[name]) for name in chosen), request.first)
    members: list[FleetMember] = []
    pages: dict[str, FleetPage] = {}
    for start in range(0, len(names), request.page_size):
        page = names[start : start + request.page_size]
        key = page_key(request.order.deployment_id, start // request.page_size)
        pages[key] = FleetPage(
            targets=tuple(_expecting(targets[name], states.get(name), request.order.undo) for name in page)
        )
        members += [_member(targets[name], ranks[name], states.get(name), key) for name in page]
    return FrozenFleet(Fleet(members=_that_fit(members), previous_revision=label, warnings=tuple(warnings)), pages)


def _expecting(target: Target, state: InstanceState | None, undo: Undo | None) -> Target:
    """A rollback's target, with the revision to restore by the group's memory: the host may have lost it."""
    if undo is None or state is None:
        return target
    is_of_undone = state.deployment_id == undo.deployment_id
    label, by = (state.before, state.before_by) if is_of_undone else (state.revision, state.revision_by)
    return target.model_copy(update={"expected": label, "expected_by": by})


def _runs_it(request: ReadFleet, state: InstanceState | None) -> bool:
    """Whether an instance already runs the deployment's revision and is healthy."""
    revision = request.order.revision
    return bool(revision and state and state.is_healthy and state.sha256 == revision.sha256)


def _member(target: Target, its_rank: Rank, state: InstanceState | None, page: str) -> FleetMember:
    return FleetMember(
        name=target.name,
        address=target.address,
        zone=target.zone,
        rank=int(its_rank),
        is_healthy=bool(state and state.is_healthy and not state.not_restored),
        queue=target.task_queue or "",
        page=page,
    )


def _that_fit(members: list[FleetMember]) -> tuple[FleetMember, ...]:
    size = sum(len(m.name) + len(m.address) + len(m.zone) + len(m.queue) + len(m.page) + 90 for m in members)
    if size <= ADDRESSES_BYTES:
        return tuple(members)
    return tuple(member.model_copy(update={"address": ""}) for member in members)
