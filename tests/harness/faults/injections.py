"""What can be done to a rollout: the table that `--fault` chooses from. When it is done: `instants.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetActivityRequest

from tests.harness.faults.instances import BoxHost, Instance, Run, children_of
from tests.harness.faults.scene import Effect, Scene, insist, pick, until
from tests.harness.faults.site import WorkerProcess
from towline.model import names
from towline.model.messages.deploy import StopRequest

BLIP_SECONDS = (1.0, 4.0)  # less than a host of the harness may be out of reach
FROZEN_SECONDS = (5.5, 8.0)
DARK_SECONDS = (0.2, 2.0)

Inject = Callable[[Scene, random.Random], Awaitable[bool]]


@dataclass(frozen=True)
class Fault:
    """What is done (it answers whether there was anything to do it to), and what the rollout's end may owe to it."""

    inject: Inject
    effect: Effect = Effect.NONE
    only: str = ""  # "box", "local": what kind of instance it is for


# ── our side ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _workers(scene: Scene) -> list[WorkerProcess]:
    """Those that are at work; at least one."""
    await until(lambda: any(worker.is_at_work for worker in scene.site.workers))
    return [worker for worker in scene.site.workers if worker.is_at_work]


async def kill_a_worker(scene: Scene, dice: random.Random) -> bool:
    """SIGKILL of one of two workers."""
    dice.choice(await _workers(scene)).kill()
    return True


async def kill_all_workers(scene: Scene, dice: random.Random) -> bool:
    """SIGKILL of every worker; new ones come at once."""
    for worker in await _workers(scene):
        worker.kill()
    return True


async def end_a_worker(scene: Scene, dice: random.Random) -> bool:
    """SIGTERM of one of two workers."""
    dice.choice(await _workers(scene)).terminate()
    return True


async def kill_temporal(scene: Scene, dice: random.Random) -> bool:
    """SIGKILL of the Temporal server, and a new one on its file."""
    await scene.temporal.kill_and_restart()
    return True


async def freeze_a_worker(scene: Scene, dice: random.Random) -> bool:
    """A worker stands still for longer than a heartbeat's timeout, and goes on as if it had not."""
    worker = dice.choice(await _workers(scene))
    worker.freeze()
    await asyncio.sleep(dice.uniform(*FROZEN_SECONDS))
    worker.thaw()
    return True


async def freeze_temporal(scene: Scene, dice: random.Random) -> bool:
    """The Temporal server stands still for as long."""
    await scene.temporal.freeze(dice.uniform(*FROZEN_SECONDS))
    return True


async def reset_activities(scene: Scene, dice: random.Random) -> bool:
    """Temporal's own reset of every activity of the first shard."""
    shard = WorkflowExecution(workflow_id=names.shard_workflow_id(scene.deployment_id, 1))
    request = ResetActivityRequest(
        namespace=scene.site.client.namespace, execution=shard, identity="faults", type="deploy_instance"
    )
    return await insist(lambda: scene.site.client.workflow_service.reset_activity(request))


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def pause_and_resume(scene: Scene, dice: random.Random) -> bool:
    """A person pauses and resumes, each twice."""
    pause, resume = scene.site.deployments.pause, scene.site.deployments.resume
    reached = [await insist(lambda act=act: act(scene.deployment_id)) for act in (pause, pause, resume, resume)]  # type: ignore[misc]
    return reached[0]


async def stop(scene: Scene, dice: random.Random) -> bool:
    """A person stops, twice."""
    request = StopRequest(rollback=True)
    reached = [await insist(lambda: scene.site.deployments.stop(scene.deployment_id, request)) for _ in range(2)]
    return reached[0]


async def stop_now(scene: Scene, dice: random.Random) -> bool:
    """A person stops and has running hooks ended."""
    request = StopRequest(now=True, rollback=True)
    return await insist(lambda: scene.site.deployments.stop(scene.deployment_id, request))


async def cancel(scene: Scene, dice: random.Random) -> bool:
    """Temporal's own cancel, as from the Web UI."""
    return await insist(scene.site.client.get_workflow_handle(scene.deployment_id).cancel)


async def cancel_a_shard(scene: Scene, dice: random.Random) -> bool:
    """Temporal's own cancel of a shard."""
    shard = names.shard_workflow_id(scene.deployment_id, 1)
    return await insist(scene.site.client.get_workflow_handle(shard).cancel)


async def terminate(scene: Scene, dice: random.Random) -> bool:
    """Temporal's own terminate."""
    handle = scene.site.client.get_workflow_handle(scene.deployment_id)
    return await insist(lambda: handle.terminate("a fault"))


# ── instances ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def kill_a_runner(scene: Scene, dice: random.Random) -> bool:
    """SIGKILL of a runner that is at work, if there is one; of one whose hook runs, if there is one."""
    at_work = [(host, pid, _open_hook(scene, host)) for host in scene.hosts for pid in host.runners()]
    for host, pid, hook in pick(dice, [each for each in at_work if each[2]] or at_work):
        scene.hurt.add(host.name)
        if hook:  # it would wait for ever: somebody has to end it
            host.hold(hook.pid)
            scene.to_put_back.append(partial(host.let_go, hook.pid))
        was_there = host.signal(pid, signal.SIGKILL)
        if was_there and hook and host.is_alive(hook.pid):
            scene.cut_short.append((host, hook))
        return bool(was_there)
    return False


def _open_hook(scene: Scene, host: Instance) -> Run | None:
    return next((run for run in scene.runs_of(host)[-1:] if host.is_alive(run.pid)), None)


async def kill_readers(scene: Scene, dice: random.Random) -> bool:
    """SIGKILL of what workers talk to on some instances, runners being left at work: a connection is cut."""
    workers = {worker.process.pid for worker in scene.site.workers if not worker.has_ended}
    killed = pick(dice, children_of(workers, "runner"), share=0.5)
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(killed)


def _boxes(scene: Scene) -> list[BoxHost]:
    return [host for host in scene.hosts if isinstance(host, BoxHost) and host.box.pid]


def _busy(scene: Scene) -> list[BoxHost]:
    """Hosts that are up and have something to do, else all that are up."""
    up = [host for host in _boxes(scene) if host.name not in scene.lost]
    return [host for host in up if host.unfinished()] or up


async def blip(scene: Scene, dice: random.Random) -> bool:
    """A host's cable is out for some seconds."""
    return await _unplug(pick(dice, _busy(scene)), dice)


async def partition(scene: Scene, dice: random.Random) -> bool:
    """Half of the fleet is out of reach for some seconds."""
    return await _unplug(pick(dice, [host for host in _boxes(scene) if host.name not in scene.lost], share=0.5), dice)


async def _unplug(hosts: list[BoxHost], dice: random.Random) -> bool:
    for host in hosts:
        host.box.unplug()
    await asyncio.sleep(dice.uniform(*BLIP_SECONDS))
    for host in hosts:
        host.box.plug_in()
    return bool(hosts)


async def link_down(scene: Scene, dice: random.Random) -> bool:
    """A host's cable is out for good: until the rollout has ended."""
    for host in pick(dice, _busy(scene)):
        scene.lost.add(host.name)
        host.box.unplug()
        scene.to_put_back.append(host.box.plug_in)
        return True
    return False


async def stall(scene: Scene, dice: random.Random) -> bool:
    """A host's line stalls for some seconds, now and then in one direction only: no reset, no data."""
    hosts = pick(dice, _busy(scene))
    for host in hosts:
        host.box.relay.set(stalled=True, one_way=dice.choice(["", "", "to_host", "from_host"]))
    await asyncio.sleep(dice.uniform(*BLIP_SECONDS))
    for host in hosts:
        host.box.relay.heal()
    return bool(hosts)


async def worsen_lines(scene: Scene, dice: random.Random) -> bool:
    """The lines of half of the fleet lose 5 % and are 200 ms long there and back, to the rollout's end."""
    hosts = pick(dice, _boxes(scene), share=0.5)
    for host in hosts:
        host.box.relay.set(delay_ms=100, loss_percent=5, seed=dice.randrange(1000))
        scene.to_put_back.append(host.box.relay.heal)
    return bool(hosts)


async def cut(scene: Scene, dice: random.Random) -> bool:
    """Every SSH connection to some hosts breaks at once; what runs there goes on."""
    hosts = pick(dice, _busy(scene), share=0.5)
    for host in hosts:
        host.box.cut_connections()
    return bool(hosts)


async def restart_sshd(scene: Scene, dice: random.Random) -> bool:
    """sshd of some hosts is restarted: it starts anew, and connections end."""
    hosts = pick(dice, _busy(scene), share=0.5)
    for host in hosts:
        host.signal(1, signal.SIGHUP)
        host.box.cut_connections()
    return bool(hosts)


async def power_cut(scene: Scene, dice: random.Random) -> bool:
    """A host is dark for a moment and boots again."""
    for host in pick(dice, _busy(scene)):
        scene.hurt.add(host.name)
        host.box.power_off()
        await asyncio.sleep(dice.uniform(*DARK_SECONDS))
        host.fleet.boot(host.box)
        return True
    return False


FAULTS: dict[str, Fault] = {
    "worker-kill": Fault(kill_a_worker),
    "workers-kill": Fault(kill_all_workers),
    "worker-term": Fault(end_a_worker),
    "temporal-kill": Fault(kill_temporal),
    "worker-freeze": Fault(freeze_a_worker),
    "temporal-freeze": Fault(freeze_temporal),
    "activity-reset": Fault(reset_activities),
    "pause-resume": Fault(pause_and_resume),
    "reader-kill": Fault(kill_readers, only="local"),
    "runner-kill": Fault(kill_a_runner, Effect.HURTS),
    "stop": Fault(stop, Effect.STOPS),
    "stop-now": Fault(stop_now, Effect.STOPS),
    "cancel": Fault(cancel, Effect.STOPS),
    "cancel-shard": Fault(cancel_a_shard, Effect.STOPS),
    "terminate": Fault(terminate, Effect.ENDS),
    "link-blip": Fault(blip, only="box"),
    "partition": Fault(partition, only="box"),
    "link-down": Fault(link_down, Effect.LOSES, only="box"),
    "stall": Fault(stall, only="box"),
    "bad-lines": Fault(worsen_lines, only="box"),
    "cut": Fault(cut, only="box"),
    "sshd-restart": Fault(restart_sshd, only="box"),
    "power-cut": Fault(power_cut, Effect.HURTS, only="box"),
}


def faults_for(box: bool) -> list[str]:
    """The names of the faults that a harness on such hosts can inject."""
    return sorted(name for name, fault in FAULTS.items() if fault.only in ("", "box" if box else "local"))
