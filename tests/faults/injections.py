"""What can be done to a rollout, and when: the tables that `--fault` and `--at` choose from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.service import RPCError

from tests.faults.site import EVENTS, LocalHost, Run, Site, runners_of
from tests.faults.temporal import Temporal
from tests.support.temporal import eventually
from towline.errors import Conflict, NotFound, TemporalUnavailable
from towline.model import names
from towline.model.messages import StopRequest


class Effect(Enum):
    """What a fault may do to the rollout's end."""

    NONE = auto()  # everything ends as if nothing had happened
    STOPS = auto()  # somebody asked for it: stopped, unless it had ended before
    HURTS = auto()  # one instance may be interrupted, which counts as a failure
    ENDS = auto()  # the workflow is gone; `towline rollback` must still take everything back


@dataclass
class Scene:
    """One rollout that is to be disturbed."""

    site: Site
    temporal: Temporal
    dice: random.Random
    hosts: list[LocalHost]
    deployment_id: str
    version: str
    is_bad: bool
    typical_seconds: float
    seen: set[tuple[str, int]] = field(default_factory=set)  # hooks that had begun before it: instance, number

    def begun(self) -> list[tuple[LocalHost, Run]]:
        """The hooks that began since the scene opened, on all instances."""
        found = ((host, number, run) for host in self.hosts for number, run in enumerate(host.runs))
        return [(host, run) for host, number, run in found if (host.name, number) not in self.seen]


Inject = Callable[[Scene], Awaitable[None]]
Moment = Callable[[Scene], Awaitable[None]]


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def kill_a_worker(scene: Scene) -> None:
    """SIGKILL of one of two workers."""
    scene.dice.choice([worker for worker in scene.site.workers if not worker.has_ended]).kill()


async def kill_all_workers(scene: Scene) -> None:
    """SIGKILL of every worker; new ones come at once."""
    for worker in scene.site.workers:
        if not worker.has_ended:
            worker.kill()


async def end_a_worker(scene: Scene) -> None:
    """SIGTERM of one of two workers."""
    scene.dice.choice([worker for worker in scene.site.workers if not worker.has_ended]).terminate()


async def kill_temporal(scene: Scene) -> None:
    """SIGKILL of the Temporal server, and a new one on its file."""
    await scene.temporal.kill_and_restart()


async def kill_a_runner(scene: Scene) -> None:
    """SIGKILL of a runner that is at work, if there is one."""
    runners = [pid for host in scene.hosts for pid in runners_of(host)]
    if runners:
        with contextlib.suppress(ProcessLookupError):
            os.kill(scene.dice.choice(runners), signal.SIGKILL)


async def reset_activities(scene: Scene) -> None:
    """Temporal's own reset of every activity of the first shard."""
    shard = WorkflowExecution(workflow_id=names.shard_workflow_id(scene.deployment_id, 1))
    request = ResetActivityRequest(
        namespace=scene.site.client.namespace, execution=shard, identity="faults", type="deploy_instance"
    )
    with contextlib.suppress(RPCError):  # nothing pends, or the shard is not there (any more)
        await scene.site.client.workflow_service.reset_activity(request)


async def pause_and_resume(scene: Scene) -> None:
    """A person pauses and resumes, each twice."""
    for act in (scene.site.deployments.pause, scene.site.deployments.resume):
        for _ in range(2):
            with contextlib.suppress(NotFound, Conflict):
                await act(scene.deployment_id)


async def stop(scene: Scene) -> None:
    """A person stops, twice."""
    for _ in range(2):
        with contextlib.suppress(NotFound, Conflict):
            await scene.site.deployments.stop(scene.deployment_id, StopRequest(rollback=True))


async def stop_now(scene: Scene) -> None:
    """A person stops and has running hooks ended."""
    with contextlib.suppress(NotFound, Conflict):
        await scene.site.deployments.stop(scene.deployment_id, StopRequest(now=True, rollback=True))


async def cancel(scene: Scene) -> None:
    """Temporal's own cancel, as from the Web UI."""
    with contextlib.suppress(RPCError):
        await scene.site.client.get_workflow_handle(scene.deployment_id).cancel()


async def cancel_a_shard(scene: Scene) -> None:
    """Temporal's own cancel of a shard."""
    with contextlib.suppress(RPCError):
        await scene.site.client.get_workflow_handle(names.shard_workflow_id(scene.deployment_id, 1)).cancel()


async def terminate(scene: Scene) -> None:
    """Temporal's own terminate."""
    with contextlib.suppress(RPCError):
        await scene.site.client.get_workflow_handle(scene.deployment_id).terminate("a fault")


FAULTS: dict[str, tuple[Inject, Effect]] = {
    "worker-kill": (kill_a_worker, Effect.NONE),
    "workers-kill": (kill_all_workers, Effect.NONE),
    "worker-term": (end_a_worker, Effect.NONE),
    "temporal-kill": (kill_temporal, Effect.NONE),
    "activity-reset": (reset_activities, Effect.NONE),
    "pause-resume": (pause_and_resume, Effect.NONE),
    "runner-kill": (kill_a_runner, Effect.HURTS),
    "stop": (stop, Effect.STOPS),
    "stop-now": (stop_now, Effect.STOPS),
    "cancel": (cancel, Effect.STOPS),
    "cancel-shard": (cancel_a_shard, Effect.STOPS),
    "terminate": (terminate, Effect.ENDS),
}


# ── instants ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def at_once(scene: Scene) -> None:
    """Right after the start was answered: before the first instance."""


async def any_time(scene: Scene) -> None:
    """At any moment of a rollout of usual length."""
    await asyncio.sleep(scene.dice.uniform(0, scene.typical_seconds))


async def in_a_hook(scene: Scene) -> None:
    """While a hook of some instance runs (it is held until the fault has been injected)."""
    await eventually(scene.begun)


async def after_a_hook(scene: Scene) -> None:
    """A hook has just ended; its report may be on its way."""
    ends = sum(len(host.ends) for host in scene.hosts)
    while sum(len(host.ends) for host in scene.hosts) == ends:
        await asyncio.sleep(0.002)


async def between_instances(scene: Scene) -> None:
    """An instance has just finished."""
    while not any(_has_finished(host, scene.deployment_id) for host in scene.hosts):
        await asyncio.sleep(0.002)


async def while_compensating(scene: Scene) -> None:
    """A hook of the rollback runs (it is held); only a bad revision has one."""
    await eventually(lambda: [run for _, run in scene.begun() if run.deployment != scene.deployment_id])


async def while_pausing(scene: Scene) -> None:
    """A pause is on its way, and a resume follows."""
    await asyncio.sleep(scene.dice.uniform(0, scene.typical_seconds / 2))
    asyncio.get_running_loop().create_task(_pause_then_resume(scene))


INSTANTS: dict[str, Moment] = {
    "start": at_once,
    "random": any_time,
    "hook": in_a_hook,
    "hook-ended": after_a_hook,
    "between": between_instances,
    "compensating": while_compensating,
    "pausing": while_pausing,
}


def held_at(instant: str, dice: random.Random) -> str:
    """The event whose hooks wait until the fault has been injected; empty: none."""
    if instant == "compensating":
        return "ApplicationStart"  # AfterInstall of a bad revision fails: only its rollback comes so far
    return dice.choice(EVENTS[1:]) if instant == "hook" else ""


async def _pause_then_resume(scene: Scene) -> None:
    # Tried again like a person would: Temporal itself may be what is away.
    for act in (scene.site.deployments.pause, scene.site.deployments.resume):
        for _ in range(50):
            try:
                await act(scene.deployment_id)
            except (NotFound, Conflict):
                break
            except TemporalUnavailable:
                await asyncio.sleep(0.2)
            else:
                break


def _has_finished(host: LocalHost, deployment_id: str) -> bool:
    records = host.journal(deployment_id)
    return bool(records) and records[-1]["kind"] == "finished"
