"""deploy_instance over real SSH: what breaks on the way, and what must not happen then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.activity_bench import Bench
from tests.harness.fleet.box import Fleet
from tests.harness.s3 import s3_client
from tests.harness.temporal import eventually
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import log_key

pytestmark = pytest.mark.fleet

# Counts its runs, tells that it is there, waits to be let go.
WAITING = """#!/bin/sh
echo run >> /srv/runs
while [ ! -e /srv/go ]; do sleep 0.05; done
echo gone on
"""


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    bench.attempt()
    yield bench
    await bench.pool.close()


def freeze_waiting(bench: Bench, fleet: Fleet, **ssh: object) -> None:
    """Freezes a deployment whose hook waits on web-01."""
    hooks = {"AfterInstall": [{"location": "hook.sh"}]}
    bench.freeze(fleet.target("web-01", **ssh), files={"hook.sh": WAITING}, hooks=hooks)


async def begun(bench: Bench) -> None:
    await eventually(lambda: bench.beats and bench.beats[-1].script == "hook.sh")


def let_go(fleet: Fleet) -> None:
    fleet["web-01"].write("/srv/go", "")


async def test_archive_through_the_connection_to_several_hosts_at_once(
    new_fleet: Callable[..., Fleet], bench: Bench
) -> None:
    fleet = new_fleet(3)
    files = {"hook.sh": "#!/bin/sh\necho hello from $(uname -n)\n", "app/index.html": "v1", "app/big": b"x" * 3_000_000}
    hooks = {"AfterInstall": [{"location": "hook.sh"}]}
    bench.freeze(*(fleet.target(host.name) for host in fleet), files=files, hooks=hooks, install={"app": "/srv/app"})
    outcomes = await asyncio.gather(*(bench.deploy(host.name) for host in fleet))
    assert [outcome.outcome for outcome in outcomes] == [Outcome.SUCCEEDED] * 3
    for host in fleet:
        assert host.read("/srv/app/index.html") == "v1"
        assert f"hello from {host.name}" in bench.store.get(log_key("d-1", host.name)).decode()


async def test_connection_cut_in_the_middle_of_a_hook(new_fleet: Callable[..., Fleet], bench: Bench) -> None:
    fleet = new_fleet(1)
    freeze_waiting(bench, fleet)
    running = asyncio.create_task(bench.deploy("web-01"))
    await begun(bench)
    fleet["web-01"].cut_connections()
    await eventually(lambda: "unreachable" in bench.beats[-1].note)
    let_go(fleet)
    outcome = await running
    assert outcome.outcome is Outcome.SUCCEEDED
    assert fleet["web-01"].read("/srv/runs") == "run\n"
    assert bench.store.get(log_key("d-1", "web-01")).decode().count("gone on") == 1


async def test_cable_pulled_in_the_middle_of_a_hook(
    new_fleet: Callable[..., Fleet], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("towline.transports.ssh_hops.KEEPALIVE_SECONDS", 0.2)
    fleet = new_fleet(1)
    freeze_waiting(bench, fleet, connect_timeout_seconds=0.5)
    running = asyncio.create_task(bench.deploy("web-01"))
    await begun(bench)
    fleet["web-01"].unplug()
    await eventually(lambda: "unreachable" in bench.beats[-1].note)
    let_go(fleet)  # it ends while nobody is connected
    fleet["web-01"].plug_in()
    assert (await running).outcome is Outcome.SUCCEEDED
    assert fleet["web-01"].read("/srv/runs") == "run\n"


async def test_power_cut_in_the_middle_of_a_hook_is_interrupted_and_never_run_again(
    new_fleet: Callable[..., Fleet], bench: Bench
) -> None:
    fleet = new_fleet(1)
    freeze_waiting(bench, fleet, connect_timeout_seconds=0.5)
    running = asyncio.create_task(bench.deploy("web-01"))
    await begun(bench)
    fleet["web-01"].power_off()
    await eventually(lambda: "unreachable" in bench.beats[-1].note)
    fleet.boot(fleet["web-01"])
    outcome = await running
    assert (outcome.outcome, outcome.was_touched) == (Outcome.INTERRUPTED, True)
    assert fleet["web-01"].read("/srv/runs") == "run\n"


async def test_host_that_stays_away_in_the_middle_is_unreachable_and_touched(
    new_fleet: Callable[..., Fleet], bench: Bench
) -> None:
    fleet = new_fleet(1)
    freeze_waiting(bench, fleet, connect_timeout_seconds=0.3, unreachable_after_seconds=1)
    running = asyncio.create_task(bench.deploy("web-01"))
    await begun(bench)
    fleet["web-01"].power_off()
    outcome = await running
    assert (outcome.outcome, outcome.was_touched) == (Outcome.UNREACHABLE, True)


async def test_refused_login_blocks_for_the_workflow_to_judge(fleet: Fleet, bench: Bench) -> None:
    bench.freeze(fleet.target("web-01", username="nobody"))
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.BLOCKED, False)
    assert outcome.fault and outcome.fault.code == "AuthenticationRefused"


async def test_changed_host_key_is_the_hosts_failure(fleet: Fleet, bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{fleet['web-01'].address} {fleet['web-02'].host_key}\n")
    bench.freeze(fleet.target("web-01", known_hosts_file=str(file)))
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.FAILED, False)
    assert outcome.fault and outcome.fault.code == "HostKeyRefused"


async def test_bastion_that_is_gone_blocks_and_touches_nothing(new_fleet: Callable[..., Fleet], bench: Bench) -> None:
    fleet = new_fleet(1, bastion=True)
    bench.freeze(fleet.target("web-01", connect_timeout_seconds=0.5))
    fleet["bastion"].power_off()
    outcome = await bench.deploy("web-01")
    assert outcome.outcome is Outcome.BLOCKED
    assert outcome.fault and outcome.fault.code == "BastionUnreachable"
    fleet.boot(fleet["bastion"])
    assert (await bench.deploy("web-01")).outcome is Outcome.SUCCEEDED


@contextlib.contextmanager
def s3_for(fleet: Fleet) -> Iterator[str]:
    """An S3 server that the fleet's hosts can reach: on this machine's address in their network."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=f"10.213.{fleet.number}.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.mark.slow
async def test_host_fetches_from_s3_by_itself_and_through_the_connection_where_it_cannot(
    new_fleet: Callable[..., Fleet], bench: Bench
) -> None:
    fleet = new_fleet(2)
    bench.freeze(*(fleet.target(host.name) for host in fleet))
    with s3_for(fleet) as endpoint:
        client = s3_client(endpoint)
        client.create_bucket(Bucket="bundles", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_object(Bucket="bundles", Key="bundle.tgz", Body=bench.archives.path.read_bytes())
        good = client.generate_presigned_url("get_object", Params={"Bucket": "bundles", "Key": "bundle.tgz"})
        bench.archives.urls = [good]
        assert (await bench.deploy("web-01")).outcome is Outcome.SUCCEEDED
        assert bench.archives.asked == ["url"]
        gone = client.generate_presigned_url("get_object", Params={"Bucket": "bundles", "Key": "gone.tgz"})
        bench.archives.urls, bench.archives.asked = [gone], []
        assert (await bench.deploy("web-02")).outcome is Outcome.SUCCEEDED
        assert bench.archives.asked == ["url", "file"]
