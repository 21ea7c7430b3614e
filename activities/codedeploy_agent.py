"""deploy_instance for hosts with AWS's agent: the agent polls this process, and the activity plays the runner.

It is completed asynchronously (`activities/agent_session.py`): thousands of hosts that work on their own hold no slot
of the worker, and each change of a run is one write to Temporal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from temporalio import activity
from temporalio.client import Client

from activities.agent_revision import AgentRevision, revision_for
from activities.agent_session import AgentSession
from activities.snapshot import ArchiveSource, Frozen
from towline.codedeploy_agents.runs import LiveRun, Runs
from towline.errors import NotFound
from towline.model.codedeploy_agent.commands import HostRun, new_run, run_key
from towline.model.codedeploy_agent.exchange import give_up
from towline.model.codedeploy_agent.heartbeat import RunHeartbeat
from towline.model.codedeploy_agent.limits import Allowance
from towline.model.codedeploy_agent.specification import specification
from towline.model.deployment.status import Outcome
from towline.model.fleet.instance import Target
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.instance import Fault, InstanceOrder, InstanceOutcome
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords

BEATS_PER_TIMEOUT = 3
HEARTBEAT_SECONDS = 15.0


class CodeDeployAgents:
    """The sessions of this process. `end` hands them over."""

    def __init__(
        self, client: Client, store: Store, archives: ArchiveSource, runs: Runs, clock: Callable[[], float] = time.time
    ) -> None:
        self._client, self._archives, self._runs, self._clock = client, archives, runs, clock
        self._frozen, self._records = Frozen(store), DeploymentRecords(store)
        self._sessions: set[asyncio.Task[None]] = set()

    async def deploy(self, order: InstanceOrder, frozen: DeploymentOrder, target: Target) -> InstanceOutcome:
        """Begins a session, which completes this activity; returns where a rollback has nothing to bring.

        Raises NotFound, OurFault where the revision cannot be had.
        """
        try:
            revision = await revision_for(frozen, target, self._frozen, self._archives)
        except NotFound as error:
            if frozen.undo is None:
                raise
            return _not_restored(target, error)
        self._begin(self._session(order, frozen, target, revision))
        return activity.raise_complete_async()

    def _begin(self, session: AgentSession) -> None:
        task = asyncio.create_task(session.run())
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def give_up(self, order: InstanceOrder) -> None:
        """Ends a run of this process without waiting for what the agent executes."""
        live = self._runs.live(order.instance, run_key(order.deployment_id, order.run_id))
        if live:
            await live.change(lambda run: (give_up(run, self._clock()), None))

    async def end(self) -> None:
        """Hands all sessions over to other processes."""
        for task in tuple(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def _session(
        self, order: InstanceOrder, frozen: DeploymentOrder, target: Target, revision: AgentRevision
    ) -> AgentSession:
        info = activity.info()
        run = _last_run(info.heartbeat_details) or self._new_run(frozen)
        live = LiveRun(target.name, run, specification(frozen, revision.specified), _not_yet)
        live.bundle, live.archive = revision.bundle, revision.archive
        began = info.scheduled_time.timestamp()
        timeout = info.heartbeat_timeout.total_seconds() if info.heartbeat_timeout else HEARTBEAT_SECONDS
        session = AgentSession(
            deployment_id=frozen.deployment_id,
            target=target,
            live=live,
            runs=self._runs,
            handle=self._client.get_async_activity_handle(task_token=info.task_token),
            records=self._records,
            revision=revision,
            allowance=Allowance(frozen.limits.event_seconds, began + order.deadline_seconds, revision.script_seconds),
            beat_seconds=timeout / BEATS_PER_TIMEOUT,
            attempt=info.attempt,
            clock=self._clock,
            only_ends=order.only_ends,
        )
        live.save = session.save
        return session

    def _new_run(self, order: DeploymentOrder) -> HostRun:
        return new_run(
            run_key(order.deployment_id, order.run_id),
            order.events,
            self._clock(),
            ignores_application_stop=order.ignore_application_stop_failures,
        )


def _last_run(details: Any) -> HostRun | None:
    """The run as the attempt before this one has left it."""
    if not details:
        return None
    beat = details[0]
    return (beat if isinstance(beat, RunHeartbeat) else RunHeartbeat.model_validate(beat)).run


def _not_restored(target: Target, error: NotFound) -> InstanceOutcome:
    """Of a rollback whose revision is not on record any more: nothing was begun, and the host stays as it is."""
    fault = Fault(code=error.code, message=error.message, hint=error.hint)
    return InstanceOutcome(instance=target.name, outcome=Outcome.FAILED, message=error.message, fault=fault)


async def _not_yet(run: HostRun) -> None:
    raise AssertionError("its session saves it")
