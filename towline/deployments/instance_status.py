"""What each instance of an open deployment does right now, joined from what Temporal holds.

Open shards answer a query (who waits, is at work, has ended) and their pending activities carry heartbeats (which
event, which script, why it waits). Shards that have ended say how in their results. The order of the rollout, and who
is still to come, is what was frozen for it; the caller reads that from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError

from towline import errors
from towline.model import names
from towline.model.deployment.describe import status_reason
from towline.model.deployment.info import DeploymentOverview
from towline.model.deployment.status import Creator, Outcome, Phase, TargetStatus
from towline.model.messages.instance import Heartbeat
from towline.model.messages.shard import InstanceLive, ShardOutcome
from towline.model.messages.view import DeploymentView, Progress
from towline.model.rollout.leases import slots_in_use
from towline.temporal import asking, is_absent

QUERY_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True)
class Live:
    """One instance as it stands now: the shard's word and, while it is in flight, its last heartbeat."""

    name: str
    status: TargetStatus
    outcome: Outcome | None = None
    start_time: str = ""
    end_time: str = ""
    message: str = ""
    heartbeat: Heartbeat | None = None


@dataclass
class LiveFleet:
    """Reads the instances of one deployment again and again; remembers what cannot change any more."""

    client: Client
    deployment_id: str
    frozen: tuple[str, ...] | None = None
    """The names of all instances in rollout order; None until they were read."""
    _closed: dict[int, dict[str, Live]] = field(default_factory=dict)

    async def read(self, progress: Progress) -> dict[str, Live]:
        """The instances of the shards that have begun, and those to come if `frozen` tells them; in rollout order.

        Raises `TemporalUnavailable`.
        """
        open_ones = sorted(progress.shards)
        last = max((_index(shard) for shard in open_ones), default=0)
        asked = [self._open(shard) for shard in open_ones]
        # Shards begin in order: those below the newest open one that are not open have ended.
        is_open = {_index(shard) for shard in open_ones}
        ended = [i for i in range(1, last) if i not in is_open and i not in self._closed]
        for index, live in zip(ended, await asyncio.gather(*(self._ended(i) for i in ended)), strict=True):
            if live is not None:
                self._closed[index] = live
        found = dict(self._closed)
        for shard, live in zip(open_ones, await asyncio.gather(*asked), strict=True):
            found[_index(shard)] = live
        return in_rollout_order(found, self.frozen or (), TargetStatus.PENDING)

    async def read_all_ended(self, others: TargetStatus = TargetStatus.SKIPPED) -> dict[str, Live]:
        """The instances of all shards, once every one has ended; what never began is `others` if `frozen` tells it."""
        index = 1
        while True:
            if index not in self._closed:
                live = await self._ended(index)
                if live is None:
                    break
                self._closed[index] = live
            index += 1
        # Of a shard that was ended from outside it is not known who had begun.
        return in_rollout_order(self._closed, self.frozen or (), others if all(self._closed.values()) else None)

    async def _open(self, shard: str) -> dict[str, Live]:
        handle = self.client.get_workflow_handle(shard)
        with asking(f"asking {shard} for its instances"):
            try:
                states: dict[str, InstanceLive] = await handle.query(
                    "instances", result_type=dict[str, InstanceLive], rpc_timeout=QUERY_TIMEOUT
                )
                description = await handle.describe(rpc_timeout=QUERY_TIMEOUT)
            except RPCError as error:
                if is_absent(error):
                    return {}  # it is about to begin
                raise
        beats = await self._heartbeats(description.raw_description.pending_activities)
        return {name: _live(name, one, beats.get(name)) for name, one in states.items()}

    async def _heartbeats(self, pending: Any) -> dict[str, Heartbeat]:
        beats: dict[str, Heartbeat] = {}
        for activity in pending:
            if not activity.heartbeat_details.payloads:
                continue
            try:
                values = await self.client.data_converter.decode(activity.heartbeat_details.payloads, [Heartbeat])
            except (ValueError, RuntimeError, TypeError):
                continue  # of another kind of activity, or of a newer worker
            beats[values[0].instance] = values[0]
        return beats

    async def _ended(self, index: int) -> dict[str, Live] | None:
        """The instances of a shard that has ended; None where it has not, or there is none."""
        shard = names.shard_workflow_id(self.deployment_id, index)
        handle = self.client.get_workflow_handle(shard, result_type=ShardOutcome)
        with asking(f"reading how {shard} ended"):
            try:
                description = await handle.describe(rpc_timeout=QUERY_TIMEOUT)
                if description.status == WorkflowExecutionStatus.RUNNING:
                    return None
                return _of_outcome(await handle.result())
            except RPCError as error:
                if is_absent(error):
                    return None
                raise
            except WorkflowFailureError:
                return {}  # ended from outside: the deployment counts what it had in flight


def in_rollout_order(
    shards: Mapping[int, Mapping[str, Live]], frozen: Sequence[str], others: TargetStatus | None
) -> dict[str, Live]:
    """The instances of shards in the frozen order; those of no shard are `others` (None: left out).

    Without a frozen order, by shard.
    """
    known = {name: live for index in sorted(shards) for name, live in shards[index].items()}
    every = {}
    for name in frozen:
        if name in known:
            every[name] = known[name]
        elif others:
            every[name] = Live(name, others)
    return every | known


def refined(view: DeploymentView, live: dict[str, Live]) -> DeploymentView:
    """The view with what the shards know better: a deployment hears from them in steps, not at each instance."""
    progress = view.progress
    if progress.phase is not Phase.ROLL_OUT or not live:
        return view
    flying = tuple(name for name, one in live.items() if one.status is TargetStatus.IN_PROGRESS)
    ended = [one for one in live.values() if one.outcome is not None]
    counted = DeploymentOverview(
        in_progress=len(flying),
        succeeded=sum(one.outcome is Outcome.SUCCEEDED for one in ended),
        failed=sum(one.status is TargetStatus.FAILED for one in ended),
        skipped=sum(one.status is TargetStatus.SKIPPED for one in live.values()),
    )
    overview = counted.model_copy(update={"pending": max(0, progress.total - counted.total)})
    newer = progress.model_copy(
        update={
            "in_flight": flying[:10],
            "in_flight_count": len(flying),
            "waiting": overview.pending,
            "slots_in_use": slots_in_use(
                progress.slots,
                len(flying),
                overview.failed,
                tolerates_failures=view.info.creator is Creator.ROLLBACK,
            ),
        }
    )
    newer = newer.model_copy(update={"text": status_reason(newer)})
    return DeploymentView(info=view.info.model_copy(update={"deployment_overview": overview}), progress=newer)


def _live(name: str, state: InstanceLive, heartbeat: Heartbeat | None) -> Live:
    return Live(
        name=name,
        status=state.status,
        outcome=state.outcome,
        start_time=state.start_time,
        end_time=state.end_time,
        message=state.message,
        heartbeat=heartbeat if state.status is TargetStatus.IN_PROGRESS else None,
    )


def _of_outcome(outcome: ShardOutcome) -> dict[str, Live]:
    messages = {failure.instance: failure.message for failure in outcome.failures}
    return {
        name: Live(name, kind.target_status, kind, message=messages.get(name, ""))
        for kind, members in outcome.results.items()
        for name in members
    }


def _index(shard: str) -> int:
    """The index in a shard's id. Raises `TemporalUnavailable` for an id that is none."""
    _, _, number = shard.rpartition("-")
    if not number.isdigit():
        raise errors.TemporalUnavailable(f"{shard} is no shard's id: client and worker differ in version.")
    return int(number)
