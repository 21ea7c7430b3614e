"""The activities and the transport alone, without Temporal: where a rollout's time goes on the way to the hosts.

    python -m tests.bench.transport [-n HOSTS] [--rounds R] [--profile]

Each round is a fresh deployment to all hosts at once, in this one process; plain asyncssh runs between the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import pstats
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from temporalio.testing import ActivityEnvironment

from activities.instances import InstanceActivities
from activities.revisions import Archives
from tests.bench.bundle import APPSPEC, make_bundle
from tests.bench.plain_asyncssh import by_hand
from tests.bench.s3 import BUCKET, put, s3_process
from tests.harness.fleet.box import Fleet
from towline.bundles.cache import Cache
from towline.model.appspec.parser import parse_appspec
from towline.model.bundle.revision import ResolvedRevision, RevisionLocation
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import order_key
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.fleet import FleetPage
from towline.model.messages.instance import InstanceOrder
from towline.store import Store, open_store
from towline.transports import TransportPool


def freeze(store: Store, fleet: Fleet, number: int, bundle: bytes) -> list[InstanceOrder]:
    """Puts what a deployment froze into the store; the orders of its instances."""
    location = RevisionLocation.parse(f"s3://{BUCKET}/bundle.tgz")
    digest = hashlib.sha256(bundle).hexdigest()
    revision = ResolvedRevision(
        location=location,
        sha256=digest,
        size=len(bundle),
        bundle_type="tgz",
        label=location.label,
        plan_key="plan.json",
    )
    names = {"deployment_id": f"d-{number}", "run_id": f"r-{number}"}
    order = DeploymentOrder(**names, application="shop", group="prod", group_id="g-1", revision=revision)
    plan = parse_appspec(APPSPEC).value
    assert plan
    targets = tuple(fleet.target(host.name) for host in fleet)
    store.put(order_key(order.deployment_id), order.model_dump_json().encode())
    store.put("plan.json", plan.model_dump_json(by_alias=True).encode())
    store.put("page.json", FleetPage(targets=targets).model_dump_json().encode())
    return [InstanceOrder(**names, instance=one.name, page="page.json", deadline_seconds=600) for one in targets]


async def deploy(activities: InstanceActivities, orders: list[InstanceOrder]) -> None:
    """All instances at once."""

    async def one(order: InstanceOrder) -> None:
        environment = ActivityEnvironment()
        fields = {**ActivityEnvironment.default_info().__dict__, "heartbeat_timeout": timedelta(seconds=5)}
        environment.info = type(environment.info)(**fields)
        outcome = await environment.run(activities.deploy_instance, order)
        assert outcome.outcome is Outcome.SUCCEEDED, outcome

    await asyncio.gather(*(one(order) for order in orders))


async def _is_open(workflow_id: str) -> bool:
    """There is no Temporal here."""
    return False


async def measure(fleet: Fleet, options: argparse.Namespace, folder: Path) -> None:
    """Rounds of both, in turn."""
    bundle, store = make_bundle(), open_store(str(folder / "store"))
    url, digest = put("bundle.tgz", bundle), hashlib.sha256(bundle).hexdigest()
    ours: list[float] = []
    theirs: list[float] = []
    async with TransportPool() as pool:
        activities = InstanceActivities(store, Archives(store, Cache(folder / "cache")), pool, is_open=_is_open)
        for number in range(options.rounds + 1):
            orders = freeze(store, fleet, number, bundle)
            profile = cProfile.Profile()
            began = time.perf_counter()
            if options.profile and number == options.rounds:
                profile.enable()
            await deploy(activities, orders)
            profile.disable()
            ours.append(time.perf_counter() - began)
            theirs.append(await asyncio.to_thread(by_hand, fleet, url, digest))
    # The first round is a first visit: the runner is sent and compiled, modules are imported.
    later = ours[1:]
    print(f"first round {ours[0]:.2f} s; then median {statistics.median(later):.2f} s of", *map("{:.2f}".format, later))
    print(f"by hand median {statistics.median(theirs):.2f} s of", *map("{:.2f}".format, theirs))
    if options.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


def main() -> None:
    """Measures the way to the hosts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", type=int, default=20, help="hosts (default 20)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="of the last round, of this process")
    options = parser.parse_args()
    with (
        Fleet(options.n) as fleet,
        s3_process(f"10.213.{fleet.number}.1"),
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
    ):
        asyncio.run(measure(fleet, options, Path(folder)))


if __name__ == "__main__":
    main()
