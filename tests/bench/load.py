"""What towline uses, and what it leaves, under load: memory, time, and whatever could grow without an end.

    python -m tests.bench.load many     [--groups 50] [--hosts 4]        deployments at once, on local instances
    python -m tests.bench.load failing  [--instances 1000] [--seed 1]    a tenth of played instances fails
    python -m tests.bench.load day      [--deployments 150]              one group, one host, one after the other

Real Temporal on its SQLite file and a worker process; local instances run the real runner, with the hooks of the fault
suite, which count themselves. Exit status 1 where something is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.harness import ROOT
from tests.harness.faults.site import EVENTS, FaultSite, LocalHost
from tests.harness.faults.temporal import Temporal
from towline.catalogue.repository import Catalogue
from towline.model import names
from towline.model.catalogue.records import Change
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import instance_key
from towline.model.group.group import group_id
from towline.model.group.queue import TABLE
from towline.model.messages.instance import InstanceReport
from towline.model.messages.view import DeploymentView

MEMORY = Path("/dev/shm")
PATIENCE_SECONDS = 600.0
STATE_BYTES = 200 * (TABLE + 10)
RUNNER_PATH = str(ROOT / "towline/host").encode()


@asynccontextmanager
async def a_site():  # type: ignore[no-untyped-def]
    """A site with one worker, in memory; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="towline-load-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        async with Temporal(folder) as temporal:
            site = FaultSite.at(folder, temporal.address, await temporal.connect())
            try:
                await site.start_worker()
                yield site
            finally:
                site.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────


class RunnerWatch:
    """Looks at this project's runners while a block runs: how many at once, and how large one became."""

    def __init__(self) -> None:
        self.most = 0
        self.largest_mib = 0.0

    async def __aenter__(self) -> RunnerWatch:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            sizes = await asyncio.to_thread(runner_sizes)
            self.most = max(self.most, len(sizes))
            self.largest_mib = max([self.largest_mib, *sizes])
            await asyncio.sleep(0.2)


def runner_sizes() -> list[float]:
    """The most MiB that each runner's process, connected ends included, has had resident so far."""
    sizes = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if RUNNER_PATH in (process / "cmdline").read_bytes():
                    sizes += resident(process / "status")
    return sizes


def resident(status: Path) -> list[float]:
    lines = status.read_text().splitlines()
    return [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]


def files_below(folder: Path) -> tuple[int, float]:
    """How many files there are, and their KiB."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return len(sizes), sum(sizes) / 1024


def say(*words: object) -> None:
    print(*words, flush=True)


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def many(groups: int, hosts: int) -> list[str]:
    """As many deployments at once as there are groups. Answers what was wrong."""
    wrong: list[str] = []
    async with a_site() as site:
        [worker] = site.workers
        fleets = {
            f"g{n:02d}": await site.declare_hosts(f"g{n:02d}", hosts=hosts, config="HalfAtATime") for n in range(groups)
        }
        idle = worker.memory()
        revision = site.revision("v1")
        began = time.monotonic()
        async with RunnerWatch() as runners:
            await asyncio.gather(*(site.start(f"d-{group}", group, revision=revision) for group in fleets))
            views = await asyncio.gather(*(site.ended(f"d-{group}", PATIENCE_SECONDS) for group in fleets))
        seconds = time.monotonic() - began
        wrong += [f"{view.info.deployment_id}: {view.info}" for view in views if view.info.status != "Succeeded"]
        for group, fleet in fleets.items():
            wrong += [f"{host.name}: {host.runs}" for host in fleet if not ran_once(host, f"d-{group}")]
        say(f"| deployments at once × hosts of each | {groups} × {hosts} |")
        say(f"| all of them, s | {seconds:.1f} |")
        say(f"| hosts a second | {groups * hosts / seconds:.1f} |")
        say(f"| worker, MiB before, after, most | {idle:.0f}, {worker.memory():.0f}, {worker.memory('VmHWM'):.0f} |")
        say(f"| runner processes at once, the largest, MiB | {runners.most}, {runners.largest_mib:.1f} |")
        say(f"| hosts on which a hook did not run exactly once | {len(wrong)} |")
    return wrong


def ran_once(host: LocalHost, deployment: str) -> bool:
    events = [run.event for run in host.runs if run.deployment == deployment]
    return sorted(events) == sorted(EVENTS[1:])


# ── a tenth fails ────────────────────────────────────────────────────────────────────────────────────────────────────


async def failing(instances: int, seed: int) -> list[str]:
    """Two rollouts over the same instances, of which a tenth fails: one rule bears that, the other one does not."""
    wrong: list[str] = []
    dice = random.Random(seed)
    everybody = [f"web-{n:05d}" for n in range(1, instances + 1)]
    bad = set(dice.sample(everybody, instances // 10))
    seconds = {name: round(dice.uniform(0.05, 0.5), 3) for name in everybody}
    async with a_site() as site:
        [worker] = site.workers
        await declare_played(site, everybody, bad, seconds)
        revision = site.revision("v1")
        for group, floor_percent, expected in (("bears", 80, "Succeeded"), ("breaks", 95, "Failed")):
            floor = -(-instances * floor_percent // 100)
            began = time.monotonic()
            await site.start(f"d-{group}", group, revision=revision)
            view = await site.ended(f"d-{group}", PATIENCE_SECONDS)
            took = time.monotonic() - began
            reports = reports_of(site, f"d-{group}", everybody)
            most, failed = most_out_of_service(reports), [r for r in reports if r.outcome.outcome is Outcome.FAILED]
            wrong += judge(view, expected, most, len(failed), instances - floor, bad)
            say(f"| {instances} instances, {len(bad)} bad, floor {floor}: status | {view.info.status} |")
            say(f"| most out of service at once, allowed | {most}, {instances - floor} |")
            say(f"| {view.info.deployment_overview} | {took:.1f} s |")
        say(f"| worker, most MiB | {worker.memory('VmHWM'):.0f} |")
    return wrong


async def declare_played(site: FaultSite, everybody: Sequence[str], bad: set[str], seconds: dict[str, float]) -> None:
    """Two groups of the same played instances, under two rules."""
    changes = [Change(key="application/shop", value={"applicationName": "shop"})]
    for group, percent in (("bears", 80), ("breaks", 95)):
        rule = {"type": "FLEET_PERCENT", "value": percent}
        config = {"deploymentConfigName": f"floor-{percent}", "minimumHealthyHosts": rule}
        changes.append(Change(key=f"config/floor-{percent}", value=config))
        value = {
            "applicationName": "shop",
            "deploymentGroupName": group,
            "deploymentConfigName": f"floor-{percent}",
            "onPremisesInstanceTagFilters": [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}],
        }
        changes.append(Change(key=f"group/shop/{group}", value=value))
    for name in everybody:
        fake: dict[str, Any] = {"seconds": seconds[name], **({"fail": "AfterInstall"} if name in bad else {})}
        record = {"instanceName": name, "tags": {"role": "web"}, "fake": fake}
        changes.append(Change(key=f"instance/{name}", value=record))
    await Catalogue(site.client).write(changes)


def reports_of(site: FaultSite, deployment: str, everybody: Sequence[str]) -> list[InstanceReport]:
    """The records of those that were begun."""
    keys = [instance_key(deployment, name) for name in everybody]
    return [InstanceReport.model_validate_json(site.store.get(key)) for key in keys if site.store.exists(key)]


def most_out_of_service(reports: Sequence[InstanceReport]) -> int:
    """By the instances' own records: at work, or failed."""
    changes = []
    for report in reports:
        begun = [event.start_time for event in report.events if event.start_time]
        changes.append((min(begun), 1))
        if report.outcome.outcome is Outcome.SUCCEEDED:
            changes.append((max(event.end_time for event in report.events), -1))
    out = most = 0
    for _, change in sorted(changes):
        out += change
        most = max(most, out)
    return most


def judge(view: DeploymentView, expected: str, most: int, failed: int, slots: int, bad: set[str]) -> list[str]:
    wrong = []
    if view.info.status != expected:
        wrong.append(f"{view.info.status}, not {expected}: {view.info}")
    if most > slots:
        wrong.append(f"{most} out of service, {slots} allowed")
    if view.info.overview.failed != failed or (expected == "Succeeded" and failed != len(bad)):
        wrong.append(f"{failed} failed, {len(bad)} are bad: {view.info.deployment_overview}")
    return wrong


# ── a day of one group and one host ──────────────────────────────────────────────────────────────────────────────────


async def day(deployments: int) -> list[str]:
    """One deployment after the other, each of a revision of its own, every tenth of them bad and taken back."""
    wrong: list[str] = []
    async with a_site() as site:
        [host] = await site.declare_hosts(hosts=1, config="AllAtOnce", rollback=True)
        say("| after | s each | group: events, bytes of its state | host: archives, journals, files, KiB "
            "| store: files, KiB | worker MiB, files open |")  # fmt: skip
        say("|---|---|---|---|---|---|")
        began, step = time.monotonic(), max(1, deployments // 6)
        rows = []
        for number in range(1, deployments + 1):
            version = f"{'bad' if number % 10 == 0 else 'v'}{number}"
            if number % 10 == 0:
                host.fail(version)
            view = await site.deploy(f"d-{number}", version=version)
            expected = "Failed" if number % 10 == 0 else "Succeeded"
            if view.info.status != expected or not view.progress.is_whole:
                wrong.append(f"d-{number}: {view.info}")
            if number % step == 0:
                rows.append(await traces(site, host))
                told = rows[-1]
                say(f"| {number} | {(time.monotonic() - began) / step:.2f} | {told['events']}, {told['state']} "
                    f"| {told['archives']}, {told['journals']}, {told['host_files']}, {told['host']:.0f} "
                    f"| {told['files']}, {told['store']:.0f} | {told['worker']:.0f}, {told['open']} |")  # fmt: skip
                began = time.monotonic()
        wrong += growing(rows[len(rows) // 2], rows[-1])
    return wrong


async def traces(site: FaultSite, host: LocalHost) -> dict[str, float]:
    """What is left by all deployments so far."""
    [worker] = site.workers
    workflow = site.client.get_workflow_handle(names.group_workflow_id(group_id("shop", "web")))
    description = await workflow.describe()
    first = await anext(workflow.fetch_history_events())
    state = first.workflow_execution_started_event_attributes.input.payloads[0].data
    archives = host.path("/opt/codedeploy-agent/deployment-root") / group_id("shop", "web")
    files, store = files_below(site.folder / "store")
    of_agent, of_state = (files_below(host.path(path)) for path in ("/opt", "/var"))
    return {
        "events": description.history_length,
        "state": len(state),
        "archives": len(list(archives.iterdir())),
        "journals": len(list(host.path("/var/lib/towline/journals").iterdir())),
        "host_files": of_agent[0] + of_state[0],
        "host": of_agent[1] + of_state[1],
        "files": files,
        "store": store,
        "worker": worker.memory(),
        "open": len(os.listdir(f"/proc/{worker.process.pid}/fd")),
    }


def growing(middle: dict[str, float], end: dict[str, float]) -> list[str]:
    """What a day must not make larger: in its second half nothing grows by more than a quarter, records apart."""
    must_not = ("archives", "journals", "host_files", "host", "worker", "open")
    wrong = [
        f"{key} grew from {middle[key]:.0f} to {end[key]:.0f}" for key in must_not if end[key] > 1.25 * middle[key] + 5
    ]
    # Each turn is a new run of the group; its tables grow to TABLE entries, then what is not used is dropped.
    bounds = {"events": 100, "state": STATE_BYTES}
    return wrong + [f"group: {end[key]:.0f} {key}, {most} allowed" for key, most in bounds.items() if end[key] > most]


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("many", "failing", "day"))
    parser.add_argument("--groups", type=int, default=50)
    parser.add_argument("--hosts", type=int, default=4, help="of each group")
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--deployments", type=int, default=150)
    given = parser.parse_args()
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}: {' '.join(sys.argv[1:])}\n")
    runs: dict[str, Callable[[], Awaitable[list[str]]]] = {
        "many": lambda: many(given.groups, given.hosts),
        "failing": lambda: failing(given.instances, given.seed),
        "day": lambda: day(given.deployments),
    }
    wrong = asyncio.run(as_coroutine(runs[given.what]))
    for sentence in wrong:
        say(f"WRONG {sentence}")
    return 1 if wrong else 0


async def as_coroutine(run: Callable[[], Awaitable[list[str]]]) -> list[str]:
    return await run()


if __name__ == "__main__":
    sys.exit(main())
