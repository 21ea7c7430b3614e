"""Workers are killed, ended and started while hooks run on instances; the instances' own count tells what ran."""

from __future__ import annotations

import threading

import pytest
from temporalio.api.enums.v1 import PendingActivityState

from tests.harness.faults.site import FaultSite, is_alive
from tests.harness.github import fake_github
from tests.harness.temporal import eventually
from towline.bundles.local import revision_key
from towline.model import names
from towline.model.bundle.revision import RevisionLocation

pytestmark = pytest.mark.slow


async def test_a_worker_killed_in_the_middle_of_a_hook_is_followed_by_another(site: FaultSite) -> None:
    first = await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    run = await site.begun(hosts[0], "d-1")
    second = await site.start_worker()
    first.kill()
    assert is_alive(run.pid) and is_alive(hosts[0].runner_pid("d-1"))
    hosts[0].let_go("AfterInstall")
    view = await site.ended("d-1")
    assert view.info.status == "Succeeded"
    site.check_counts("d-1", hosts)
    assert [host.installed for host in hosts] == ["v1", "v1"]
    assert not second.has_ended
    assert [await tasks_timed_out(site, name) for name in ("d-1", "d-1/shard-001")] == [0, 0], (
        "nobody waited for the dead"
    )


async def tasks_timed_out(site: FaultSite, workflow_id: str) -> int:
    """How many of a workflow's tasks nobody took, or took and did not end."""
    history = await site.client.get_workflow_handle(workflow_id).fetch_history()
    return sum(event.HasField("workflow_task_timed_out_event_attributes") for event in history.events)


async def test_all_workers_killed_and_one_started_goes_on(site: FaultSite) -> None:
    workers = [await site.start_worker(), await site.start_worker()]
    hosts = await site.declare_hosts(hosts=2, config="AllAtOnce")
    for host in hosts:
        host.hold("AfterInstall")
    await site.start("d-1")
    for host in hosts:
        await site.begun(host, "d-1")
    for worker in workers:
        worker.kill()
    for host in hosts:
        host.let_go("AfterInstall")
    # Nobody is connected: the runners go through their journals to the end by themselves.
    await eventually(lambda: all(host.journal("d-1")[-1]["kind"] == "finished" for host in hosts))
    await site.start_worker()
    view = await site.ended("d-1")
    assert view.info.status == "Succeeded"
    site.check_counts("d-1", hosts)


async def test_a_worker_told_to_end_leaves_the_hook_to_the_next_one(site: FaultSite) -> None:
    first = await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    run = await site.begun(hosts[0], "d-1")
    first.terminate()
    await eventually(lambda: first.has_ended, seconds=10)
    assert is_alive(run.pid), "the hook goes on"
    await site.start_worker()
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-1")).info.status == "Succeeded"
    site.check_counts("d-1", hosts)
    assert first.process.returncode == 0, first.log.read_text()


async def test_a_worker_that_was_frozen_does_not_end_what_another_has_taken_over(site: FaultSite) -> None:
    first = await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    await site.begun(hosts[0], "d-1")
    first.freeze()
    await site.start_worker()
    shard = site.client.get_workflow_handle(names.shard_workflow_id("d-1", 1))

    async def is_taken_over() -> bool:
        [pending] = (await shard.describe()).raw_description.pending_activities
        return bool(pending.attempt > 1 and pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED)

    await eventually(is_taken_over)
    first.thaw()
    # To its late heartbeat Temporal answers that it knows no such attempt: what it also says after a terminate.
    await eventually(lambda: "detaches" in first.log.read_text())
    assert hosts[0].halt_word("d-1") == ""
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-1")).info.status == "Succeeded"
    site.check_counts("d-1", hosts)


class Stalling(dict[str, bytes]):
    """Tarballs of which the first download never comes."""

    def __init__(self, tarballs: dict[str, bytes]) -> None:
        super().__init__(tarballs)
        self.is_asked, self.is_over = threading.Event(), threading.Event()

    def __getitem__(self, key: str) -> bytes:
        if not self.is_asked.is_set():
            self.is_asked.set()
            self.is_over.wait()
        return super().__getitem__(key)


async def test_a_worker_killed_while_it_reads_a_revision_holds_nobody_up(site: FaultSite) -> None:
    location = site.revision("v1").store_location
    assert location
    archive = site.store.get(revision_key(location.digest, location.bundle_type))
    stalling = Stalling({"o/shop@1a2b3c4": archive})
    with fake_github() as github:
        github.tarballs = stalling
        try:
            first = await site.start_worker()
            hosts = await site.declare_hosts(hosts=1, gitHubUrl=github.url)
            await site.start("d-1", revision=RevisionLocation.parse("github://o/shop@1a2b3c4"))
            await eventually(stalling.is_asked.is_set)
            first.kill()
            await site.start_worker()
            assert (await site.ended("d-1")).info.status == "Succeeded"
        finally:
            stalling.is_over.set()
    site.check_counts("d-1", hosts)


async def test_a_worker_whose_store_cannot_be_written_takes_no_work(site: FaultSite) -> None:
    (site.folder / "file").touch()
    worker = site.launch(TOWLINE_STORE=str(site.folder / "file" / "store"))
    await eventually(lambda: worker.has_ended)
    assert worker.process.returncode in (1, 2)
    assert str(site.folder / "file") in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text()
