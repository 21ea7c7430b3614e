"""Rounds of the fault harness: a rollout, a fault at an instant, and what must hold afterwards.

A round's dice are its seed alone: the fault, the instant, the revision and the victims follow from it, as far as the
machine's timing allows. `python -m tests.faults` aims it; `test_seeded.py` runs a few rounds.
"""

from __future__ import annotations

import asyncio
import collections
import random
import time
from dataclasses import dataclass, field

from tests.faults.injections import FAULTS, INSTANTS, Effect, Scene, held_at
from tests.faults.site import EVENTS, LocalHost, Site, runners_of
from tests.faults.temporal import Temporal
from tests.support.temporal import eventually
from towline.errors import NotFound, TemporalUnavailable
from towline.model.messages import DeploymentView, instance_key, report_key

CONFIG = "HalfAtATime"
WORKERS = 2
END_SECONDS = 120.0


@dataclass(frozen=True)
class Aim:
    """What a round is to do; an empty name is left to its dice."""

    seed: int
    fault: str = ""
    instant: str = ""

    def resolved(self) -> Aim:
        """The aim with every name filled in: the same for the same seed."""
        dice = random.Random(self.seed)
        fault, instant = dice.choice(sorted(FAULTS)), dice.choice(sorted(INSTANTS))
        return Aim(self.seed, self.fault or fault, self.instant or instant)


@dataclass
class Result:
    """What a round showed. `wrong` has a sentence for each thing that must not be."""

    aim: Aim
    status: str = ""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    twice: int = 0
    unknown: int = 0
    floor: int = 0
    missing: int = 0
    deployments: int = 1


class Harness:
    """One site with its server, workers and hosts, on which rounds are run one after the other."""

    def __init__(self, site: Site, temporal: Temporal, hosts: list[LocalHost]) -> None:
        self.site, self.temporal, self.hosts = site, temporal, hosts
        self._round = 0
        self._good = "v0"  # what every host runs between rounds
        self._typical = 2.0

    @classmethod
    async def on(cls, site: Site, temporal: Temporal, hosts: int) -> Harness:
        """A harness with workers, hosts, and a first undisturbed rollout behind it."""
        for _ in range(WORKERS):
            await site.worker()
        harness = cls(site, temporal, await site.declare(hosts=hosts, config=CONFIG, rollback=True))
        await harness._prepare()
        return harness

    async def _prepare(self) -> None:
        """An undisturbed rollout, which also tells how long one takes."""
        began = time.monotonic()
        view = await self.site.deploy("d-prepare", version=self._good)
        self._typical = time.monotonic() - began
        assert view.info["status"] == "Succeeded", view

    async def run(self, aim: Aim) -> Result:
        """One round, and the way back to a whole fleet."""
        aim = aim.resolved()
        self._round += 1
        dice = random.Random(aim.seed + 1)
        scene = self._scene(aim, dice)
        began = time.monotonic()
        result = Result(aim)
        held = held_at(aim.instant, dice)
        for host in self.hosts:
            if held:
                host.hold(held)
            if scene.is_bad:
                host.fail(scene.version)
        try:
            await self.site.start(scene.deployment_id, version=scene.version)
            async with asyncio.timeout(END_SECONDS):
                await INSTANTS[aim.instant](scene)
            await FAULTS[aim.fault][0](scene)
            for host in self.hosts:
                host.let_go(held or "-")
            await self._enough_workers()
            view = await self._ended(scene.deployment_id)
            result.status = view.info["status"]
            await self._settle(scene, result, view)
        except (TimeoutError, AssertionError) as error:
            result.wrong.append(f"{type(error).__name__}: {error}")
        result.seconds = time.monotonic() - began
        return result

    def _scene(self, aim: Aim, dice: random.Random) -> Scene:
        is_bad = dice.random() < 0.25 or aim.instant == "compensating"
        return Scene(
            site=self.site,
            temporal=self.temporal,
            dice=dice,
            hosts=self.hosts,
            deployment_id=f"d-{self._round}-{aim.seed}",
            version=f"{'bad' if is_bad else 'v'}{self._round}",
            is_bad=is_bad,
            typical_seconds=self._typical,
            seen={(host.name, number) for host in self.hosts for number in range(len(host.runs))},
        )

    # ── after the fault ──────────────────────────────────────────────────────────────────────────────────────────

    async def _settle(self, scene: Scene, result: Result, view: DeploymentView) -> None:
        """Checks, and sees to it that the next round finds a whole fleet."""
        effect = FAULTS[result.aim.fault][1]
        await eventually(lambda: not [pid for host in self.hosts for pid in runners_of(host)], seconds=60)
        if effect is Effect.ENDS and "ended from outside" in view.info.get("errorInformation", {}).get("message", ""):
            # Its compensation, if it had begun, goes on by itself; the person's comes behind it in the queue.
            status, said = await self.site.run("rollback", scene.deployment_id, "--yes")
            result.deployments += 1
            was_touched = any(host.journal(scene.deployment_id) for host in self.hosts)
            if status and (was_touched or "the store knows nothing" not in said):
                result.wrong.append(f"rollback ended with {status}: {said}")
            self._check_installed(result, self._good)
        else:
            self._check_records(scene, result)
            self._check_floor(scene, result)
            self._check_end(scene, result, view, effect)
        self._check_twice(result, {run.deployment for _, run in scene.begun()})
        await self._heal(result)

    def _check_end(self, scene: Scene, result: Result, view: DeploymentView, effect: Effect) -> None:
        """The end is that of the undisturbed run, as far as the fault allows."""
        wanted = "Failed" if scene.is_bad else "Succeeded"
        allowed = {wanted} | ({"Stopped"} if effect is Effect.STOPS else set())
        if result.status not in allowed:
            result.wrong.append(f"{result.status}, not {' or '.join(sorted(allowed))}: {view.info}")
        if result.status == "Succeeded":
            if effect is not Effect.HURTS:
                self._check_installed(result, scene.version)
                self._check_each_once(scene, result)
            self._good = scene.version
        elif view.progress.is_whole:
            self._check_installed(result, self._good)
        elif effect is Effect.NONE:
            result.wrong.append(f"not whole, owed: {view.progress.owed}")

    def _check_installed(self, result: Result, version: str) -> None:
        other = {host.name: host.installed for host in self.hosts if host.installed != version}
        if other:
            result.wrong.append(f"{version} was to be on every instance, but {other}")

    def _check_each_once(self, scene: Scene, result: Result) -> None:
        for host in self.hosts:
            events = [run.event for run in host.runs if run.deployment == scene.deployment_id]
            if sorted(events) != sorted(EVENTS):
                result.wrong.append(f"{host.name} ran {events}")

    def _check_twice(self, result: Result, deployments: set[str]) -> None:
        for host in self.hosts:
            runs = collections.Counter((r.deployment, r.event) for r in host.runs if r.deployment in deployments)
            for run, times in runs.items():
                if times > 1:
                    result.twice += 1
                    result.wrong.append(f"{host.name} ran {run} {times} times")

    def _check_records(self, scene: Scene, result: Result) -> None:
        """Every instance that was touched has its record, and the deployment its report."""
        touched = [host.name for host in self.hosts if host.journal(scene.deployment_id)]
        keys = [instance_key(scene.deployment_id, name) for name in touched]
        for key in [*keys, report_key(scene.deployment_id)] if touched else []:
            try:
                self.site.store.get(key)
            except NotFound:
                result.missing += 1
                result.wrong.append(f"no record: {key}")
        for host in self.hosts:
            if host.journal(scene.deployment_id) and host.journal(scene.deployment_id)[-1]["kind"] != "finished":
                result.unknown += 1
                result.wrong.append(f"{host.name}: its journal has no end")

    def _check_floor(self, scene: Scene, result: Result) -> None:
        """By the hosts' own journals: never more at work or failed at once than there are slots."""
        slots, changes = len(self.hosts) // 2, []
        for host in self.hosts:
            records = host.journal(scene.deployment_id)
            if records:
                changes.append((records[0]["time"], 1))
                if records[-1].get("outcome") == "succeeded":
                    changes.append((records[-1]["time"], -1))
        out = most = 0
        for _, change in sorted(changes):
            out += change
            most = max(most, out)
        if most > slots:
            result.floor += 1
            result.wrong.append(f"{most} of {len(self.hosts)} instances out of service, {slots} allowed")

    async def _heal(self, result: Result) -> None:
        """What a fault was allowed to leave is put right as a person would: by deploying what is good."""
        if all(host.installed == self._good for host in self.hosts) and not result.wrong:
            return
        deployment_id = f"d-{self._round}-heal"
        result.deployments += 1
        view = await self.site.deploy(deployment_id, version=self._good)
        if view.info["status"] != "Succeeded":
            result.wrong.append(f"the next deployment: {view.info}")
        self._check_installed(result, self._good)

    async def _enough_workers(self) -> None:
        alive = [worker for worker in self.site.workers if not worker.has_ended]
        for _ in range(WORKERS - len(alive)):
            self.site.launch()
        await eventually(lambda: any(worker.is_at_work and not worker.has_ended for worker in self.site.workers))

    async def _ended(self, deployment_id: str) -> DeploymentView:
        async with asyncio.timeout(END_SECONDS):
            while True:
                try:
                    return await self.site.deployments.wait(deployment_id)
                except TemporalUnavailable:
                    await asyncio.sleep(0.2)
