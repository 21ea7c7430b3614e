"""`towline deploy`, from its start to its exit, against plain asyncssh doing the same by hand in the same run.

    python -m tests.bench.rollout [-n HOSTS] [--rounds R] [--one-at-a-time]

Everything is real and on this machine: the fleet in a box, moto's S3, Temporal's dev server and a worker. Every round
has a bundle of its own, so that every host fetches, checks, unpacks and installs it. `--one-at-a-time` measures instead
what a step costs above the host's own work under CodeDeployDefault.OneAtATime.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.bench import processor_time
from tests.bench.bundle import make_bundle
from tests.bench.plain_asyncssh import by_hand
from tests.bench.s3 import BUCKET, put, s3_process
from tests.harness.fleet.box import Fleet
from towline.devserver import free_port

# As it is installed: with its modules compiled. Some machines keep Python from that, and each start would compile them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
TOWLINE = [sys.executable, "-m", "towline"]


def manifest(fleet: Fleet, config: str) -> dict[str, Any]:
    """towline.yaml of the fleet."""
    ssh = {"username": "root", "identityFile": str(fleet.key), "knownHostsFile": str(fleet.known_hosts)}
    ssh["python"] = "/usr/bin/python3"
    group = {
        "deploymentGroupName": "prod",
        "deploymentConfigName": config,
        "onPremisesInstanceTagFilters": [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}],
    }
    return {
        "applications": [{"applicationName": "shop", "deploymentGroups": [group]}],
        "ssh": {"default": ssh},
        "instances": [
            {"instanceName": host.name, "tags": {"role": "web"}, "ssh": {"host": host.address}} for host in fleet
        ],
    }


@contextlib.contextmanager
def standing(fleet: Fleet, folder: Path, config: str) -> Iterator[int]:
    """Temporal, a worker, and the fleet declared, for as long as the block; the process id of `towline up`."""
    port = free_port("127.0.0.1")
    os.environ["TEMPORAL_ADDRESS"] = f"127.0.0.1:{port}"
    command = [*TOWLINE, "up", "--data-dir", str(folder / "data"), "--port", str(port)]
    with (folder / "up.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as up:
        try:
            (folder / "towline.yaml").write_text(yaml.safe_dump(manifest(fleet, config)))
            apply = [*TOWLINE, "apply", "--yes", "-f", str(folder / "towline.yaml")]
            ends = time.monotonic() + 60
            while subprocess.run(apply, capture_output=True, check=False).returncode:
                assert up.poll() is None and time.monotonic() < ends, (folder / "up.log").read_text()
                time.sleep(0.5)
            yield up.pid
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(30)


def towline_deploy(number: int) -> tuple[float, dict[str, Any]]:
    """Seconds of `towline deploy`, and what it says at its end."""
    words = ["deploy", "shop", "prod", "--revision", f"s3://{BUCKET}/bundle-{number}.tgz", "--json"]
    began = time.perf_counter()
    done = subprocess.run([*TOWLINE, *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    return seconds, json.loads(done.stdout)


def at_once(fleet: Fleet, up: int, rounds: int) -> None:
    """Prints both times and their ratio, and the processor time of towline's parts."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds + 1):
        bundle = make_bundle(number)
        url = put(f"bundle-{number}.tgz", bundle)
        theirs.append(by_hand(fleet, url, hashlib.sha256(bundle).hexdigest()))
        before = processor_time.read(fleet, up)
        ours.append(towline_deploy(number)[0])
        used = processor_time.difference(before, processor_time.read(fleet, up))
        first = " (first visit)" if number == 0 else ""
        print(f"  by hand {theirs[-1]:.2f} s, towline {ours[-1]:.2f} s{first}; processor time: {used}")
    ours_median, theirs_median = statistics.median(ours[1:]), statistics.median(theirs[1:])
    print(f"median by hand {theirs_median:.2f} s, towline {ours_median:.2f} s: {ours_median / theirs_median:.2f} times")


def one_at_a_time(fleet: Fleet, rounds: int) -> None:
    """Prints what a step costs above the host's own work."""
    hosts = sum(1 for _ in fleet)
    for number in range(rounds):
        put(f"bundle-{number}.tgz", make_bundle(number))
        seconds, view = towline_deploy(number)
        steps, work = _steps(view)
        step, own = (f"{seconds * 1000:.0f} ms" for seconds in (steps, work))
        print(f"  {hosts} hosts {seconds:.2f} s; a step {step}, the host's own work {own}")


def _steps(view: dict[str, Any]) -> tuple[float, float]:
    """Median seconds from one instance's start to the next one's, and of the work on a host."""
    targets = [target["instanceTarget"] for target in view["deploymentTargets"]]
    spans = sorted(
        (_moment(events[0]["startTime"]), _moment(events[-1]["endTime"]))
        for target in targets
        if (events := [event for event in target["lifecycleEvents"] if event.get("startTime")])
    )
    starts = [start for start, _ in spans]
    steps = [after - before for before, after in itertools.pairwise(starts)]
    return statistics.median(steps), statistics.median(end - start for start, end in spans)


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def timeline() -> None:
    """Prints the events of the newest deployment's history, and of its shards, by time."""
    import asyncio

    from temporalio.client import Client

    async def read() -> None:
        client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
        newest = await anext(client.list_workflows('WorkflowType = "Deployment"', limit=1))
        rows = []
        for workflow in (newest.id, f"{newest.id}/shard-001"):
            async for event in client.get_workflow_handle(workflow).fetch_history_events():
                attributes = str(event.WhichOneof("attributes"))
                kind, told = attributes.removesuffix("_event_attributes"), getattr(event, attributes)
                name = told.activity_type.name if hasattr(told, "activity_type") else ""
                rows.append((event.event_time.ToMicroseconds() / 1e6, workflow.removeprefix(newest.id), kind, name))
        rows.sort()
        for at, workflow, kind, name in rows:
            print(f"{at - rows[0][0]:8.3f} {workflow:11} {kind} {name}")

    asyncio.run(read())


def main() -> None:
    """Measures a rollout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", type=int, default=20, help="hosts (default 20)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-at-a-time", action="store_true")
    parser.add_argument("--history", action="store_true", help="when each event of the last deployment came")
    options = parser.parse_args()
    config = "CodeDeployDefault.OneAtATime" if options.one_at_a_time else "CodeDeployDefault.AllAtOnce"
    with (
        Fleet(options.n) as fleet,
        s3_process(f"10.213.{fleet.number}.1"),
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        standing(fleet, Path(folder), config) as up,
    ):
        if options.one_at_a_time:
            one_at_a_time(fleet, options.rounds)
        else:
            at_once(fleet, up, options.rounds)
        if options.history:
            timeline()


if __name__ == "__main__":
    main()
