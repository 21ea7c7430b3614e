"""deploy_instance and halt_instances: on played hosts, and on the real runner below a local root."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.instances import InstanceActivities
from activities.script_logs import LogBudget
from tests.harness.activity_bench import Bench, fake
from tests.harness.temporal import eventually
from towline.errors import NotFound, OurFault
from towline.model.deployment.lifecycle import events_for
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import log_key, order_key
from towline.model.fleet.instance import FakeAccess, SshAccess, Target
from towline.model.messages.deploy import DeploymentOrder, Limits, Undo
from towline.model.messages.instance import DETACHED, HaltOrder, Heartbeat
from towline.transports import TransportPool


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.attempt()
    return bench


# ── played hosts ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_success_is_returned_and_recorded(bench: Bench) -> None:
    bench.freeze(fake("web-01"))
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.SUCCEEDED, True)
    report = bench.report("web-01")
    assert report.outcome == outcome
    assert [event.name for event in report.events] == list(events_for())
    assert all(event.status == "Succeeded" and event.end_time for event in report.events)


async def test_failure_says_event_script_and_tail(bench: Bench) -> None:
    bench.freeze(fake("web-01", fail="AfterInstall"))
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.failed_event) == (Outcome.FAILED, "AfterInstall")
    assert outcome.script == "scripts/AfterInstall.sh"
    assert "played failure" in outcome.log_tail


async def test_undo_needs_no_plan_and_no_archive(bench: Bench) -> None:
    bench.freeze(fake("web-01"), revision=None, undo=Undo(deployment_id="d-0"))
    assert (await bench.deploy("web-01")).outcome is Outcome.SUCCEEDED


async def test_unreachable_host_is_tried_for_a_while_and_told_apart(bench: Bench) -> None:
    target = Target(
        name="web-01",
        access=FakeAccess(unreachable=True, unreachable_after_seconds=0.6),
    )
    bench.freeze(target)
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.UNREACHABLE, False)
    assert outcome.fault and outcome.fault.code == "Unreachable"
    assert any(beat.note.startswith("unreachable for") for beat in bench.beats)
    assert bench.report("web-01").outcome == outcome


async def test_line_that_breaks_half_way_starts_nothing_twice(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=1.5))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].seq >= 4)
    bench.hosts.unreachable.add("web-01")
    await eventually(lambda: bench.beats[-1].note)
    bench.hosts.unreachable.clear()
    outcome = await running
    assert outcome.outcome is Outcome.SUCCEEDED
    assert bench.hosts.starts == [("d-1", "web-01")]
    assert len(bench.report("web-01").events) == len(events_for())


async def test_worker_that_shuts_down_leaves_the_runner_at_work_and_the_next_one_attaches(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=1.0))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].was_started)
    bench.environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError) as detached:
        await running
    assert detached.value.type == DETACHED and not detached.value.non_retryable
    last = bench.beats[-1]
    bench.environment = ActivityEnvironment()
    bench.attempt(2, last)
    bench.restart()
    outcome = await bench.deploy("web-01")
    assert outcome.outcome is Outcome.SUCCEEDED
    assert bench.hosts.starts == [("d-1", "web-01")]
    assert bench.report("web-01").attempts == 2
    assert [event.name for event in bench.report("web-01").events] == list(events_for())


@pytest.mark.parametrize("reason", ["timed_out", "paused", "reset"])
async def test_other_reasons_of_temporal_detach_too(bench: Bench, reason: str) -> None:
    bench.freeze(fake("web-01", seconds=30))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].was_started)
    bench.environment.cancel(ActivityCancellationDetails(**{reason: True}))
    with pytest.raises(ApplicationError):
        await running
    assert bench.hosts.runs["d-1", "web-01"].journal[-1]["outcome"] == "succeeded"  # nobody has cut it short


async def test_cancel_halts_at_the_next_boundary_and_returns_the_end(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=3.5))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].phase == events_for()[1])
    bench.environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    outcome = await running
    assert (outcome.outcome, outcome.was_touched) == (Outcome.STOPPED, True)
    assert len(bench.report("web-01").events) < len(events_for())


async def test_worker_that_shuts_down_does_not_wait_for_a_long_hook_of_a_halted_runner(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=700))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].was_started)
    bench.environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    await eventually(lambda: bench.hosts.runs["d-1", "web-01"].journal[-1]["outcome"] == "stopped")
    bench.environment.worker_shutdown()
    with pytest.raises(ApplicationError) as detached:
        await running
    assert detached.value.type == DETACHED


async def test_cancel_before_the_host_answered_skips_it_at_once(bench: Bench) -> None:
    bench.freeze(fake("web-01", unreachable=True))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: any(beat.note for beat in bench.beats))
    bench.environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    assert (await running).outcome is Outcome.SKIPPED


async def test_terminated_workflow_halts_the_runner_and_leaves(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=60))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].was_started)
    bench.workflow_is_open = False
    bench.environment.cancel(ActivityCancellationDetails(not_found=True))
    with pytest.raises(ApplicationError):
        await running
    assert bench.hosts.runs["d-1", "web-01"].journal[-1]["outcome"] == "stopped"


async def test_attempt_that_temporal_has_given_up_leaves_the_runner_to_the_next(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=60))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].was_started)
    bench.environment.cancel(ActivityCancellationDetails(not_found=True))
    with pytest.raises(ApplicationError) as detached:
        await running
    assert detached.value.type == DETACHED
    assert bench.hosts.runs["d-1", "web-01"].journal[-1]["outcome"] == "succeeded", "it will end so, nobody halted it"


async def test_heartbeats_come_while_nothing_changes(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=5))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: len(bench.beats) > 4 and len({beat.seq for beat in bench.beats[-4:]}) == 1)
    bench.environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError):
        await running


async def test_halt_instances_ends_runs_and_does_not_mind_hosts_that_are_gone(bench: Bench) -> None:
    bench.freeze(fake("web-01", seconds=60), fake("web-02", unreachable=True))
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].was_started)
    halt = HaltOrder(orders=(bench.order("web-01"), bench.order("web-02")))
    halting = asyncio.create_task(ActivityEnvironment().run(bench.activities.halt_instances, halt))
    await eventually(lambda: bench.hosts.runs["d-1", "web-01"].journal[-1]["outcome"] == "stopped")
    await halting
    bench.environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError):
        await running


# ── faults of ours ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_missing_order_blocks_and_touches_nothing(bench: Bench) -> None:
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.BLOCKED, False)
    assert outcome.fault and outcome.fault.code == "NotFound"
    bench.freeze(fake("web-01"))
    assert (await bench.deploy("web-01")).outcome is Outcome.SUCCEEDED  # a failed read is not remembered


async def test_a_plan_that_is_gone_blocks_and_touches_nothing(bench: Bench) -> None:
    bench.freeze(fake("web-01"))
    (bench.path / "store/plans/p.json").unlink()
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.BLOCKED, False)
    assert bench.hosts.starts == []


async def test_store_that_fails_after_the_work_is_tried_again_by_attaching(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(key: str, data: bytes) -> None:
        raise OurFault("the store is full", "Make room.")

    bench.freeze(fake("web-01"))
    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "put", refuse)
        with pytest.raises(ApplicationError, match="the store is full") as error:
            await bench.deploy("web-01")
    assert not error.value.non_retryable
    bench.attempt(2, bench.beats[-1])
    assert (await bench.deploy("web-01")).outcome is Outcome.SUCCEEDED
    assert bench.hosts.starts == [("d-1", "web-01")]


async def test_missing_identity_file_blocks(bench: Bench) -> None:
    bench.freeze(Target(name="web-01", access=SshAccess(host="127.0.0.1", identity_file="/nowhere/key")))
    outcome = await bench.deploy("web-01")
    assert outcome.outcome is Outcome.BLOCKED
    assert outcome.fault and outcome.fault.code == "IdentityFileUnusable"
    with pytest.raises(NotFound):
        bench.report("web-01")


# ── the real runner below a local root ───────────────────────────────────────────────────────────────────────────

HOOK = '#!/bin/sh\necho "running $LIFECYCLE_EVENT password=hunter2secret"\n'


async def test_local_instance_gets_the_archive_through_the_connection(bench: Bench) -> None:
    files = {"hook.sh": HOOK, "app/index.html": "v1"}
    bench.freeze(
        bench.local(),
        files=files,
        hooks={"AfterInstall": [{"location": "hook.sh"}]},
        install={"app": "/srv/app"},
    )
    outcome = await bench.deploy("demo-01")
    assert outcome.outcome is Outcome.SUCCEEDED, outcome
    assert (bench.path / "demo-01/srv/app/index.html").read_text() == "v1"
    log = bench.store.get(log_key("d-1", "demo-01")).decode()
    assert "running AfterInstall" in log
    assert "hunter2secret" not in log
    report = bench.report("demo-01")
    assert (report.address, report.zone) == ("here", "a")


async def test_local_hook_that_fails_is_told_with_its_masked_tail(bench: Bench) -> None:
    bench.freeze(bench.local(), files={"hook.sh": HOOK + "exit 3\n"}, hooks={"AfterInstall": [{"location": "hook.sh"}]})
    outcome = await bench.deploy("demo-01")
    assert (outcome.outcome, outcome.failed_event, outcome.script) == (Outcome.FAILED, "AfterInstall", "hook.sh")
    assert "running AfterInstall" in outcome.log_tail
    assert "hunter2secret" not in outcome.model_dump_json() + bench.report("demo-01").model_dump_json()


async def test_archive_that_cannot_be_had_blocks_and_leaves_the_host_alone(bench: Bench) -> None:
    bench.freeze(bench.local())
    bench.archives.fault = OurFault("S3 answers 403", "Mend the worker's credentials.", code="AccessDenied")
    outcome = await bench.deploy("demo-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.BLOCKED, False)
    assert outcome.fault and (outcome.fault.code, outcome.fault.hint) == (
        "AccessDenied",
        "Mend the worker's credentials.",
    )
    bench.archives.fault = None
    assert (await bench.deploy("demo-01")).outcome is Outcome.SUCCEEDED


async def test_hook_runs_once_though_its_worker_is_gone_in_the_middle(bench: Bench) -> None:
    count, go = bench.path / "count", bench.path / "go"
    hook = f"#!/bin/sh\necho x >> {count}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n"
    bench.freeze(bench.local(), files={"hook.sh": hook}, hooks={"AfterInstall": [{"location": "hook.sh"}]})
    running = asyncio.create_task(bench.deploy("demo-01"))
    await eventually(lambda: bench.beats and bench.beats[-1].script == "hook.sh")
    bench.environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError):
        await running
    last, bench.environment = bench.beats[-1], ActivityEnvironment()
    bench.attempt(2, last)
    bench.restart()
    again = asyncio.create_task(bench.deploy("demo-01"))
    go.touch()
    assert (await again).outcome is Outcome.SUCCEEDED
    assert count.read_text() == "x\n"


async def test_lost_journal_of_a_started_run_is_interrupted_and_not_run_again(bench: Bench) -> None:
    bench.freeze(bench.local(), files={"hook.sh": HOOK}, hooks={"AfterInstall": [{"location": "hook.sh"}]})
    bench.attempt(2, Heartbeat(instance="demo-01", was_started=True, seq=5))
    outcome = await bench.deploy("demo-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.INTERRUPTED, True)
    with pytest.raises(NotFound):
        bench.store.get(log_key("d-1", "demo-01"))


async def test_log_beyond_the_workers_budget_is_left_on_the_host(bench: Bench) -> None:
    bench.freeze(
        bench.local(),
        files={"hook.sh": "#!/bin/sh\nseq 1 2000\n"},
        hooks={"AfterInstall": [{"location": "hook.sh"}]},
        limits=Limits(log_bytes=500),
    )
    budget = LogBudget(10_000)
    bench.activities = InstanceActivities(
        bench.store, bench.archives, TransportPool(), is_open=bench.is_open, log_budget=budget
    )
    await bench.deploy("demo-01")
    log = bench.store.get(log_key("d-1", "demo-01")).decode()
    assert "only on the host" in log and len(log) < 700
    assert budget.left == 10_000


async def test_a_host_that_cannot_run_the_runner_fails_at_once_and_is_not_touched(bench: Bench, tmp_path: Path) -> None:
    no_runner = tmp_path / "no_runner.py"
    no_runner.write_text("import sys\nsys.exit('sudo: a password is required')\n")
    bench.freeze(bench.local())
    pool = TransportPool(runner_file=no_runner)
    bench.activities = InstanceActivities(bench.store, bench.archives, pool, is_open=bench.is_open)
    outcome = await bench.deploy("demo-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.FAILED, False)
    assert outcome.fault and outcome.fault.code == "SudoRefused"


async def test_a_stop_that_finds_nothing_begun_begins_nothing(bench: Bench) -> None:
    bench.freeze(bench.local(), files={"appspec.yml": "version: 0.0\nos: linux\n", "a": "a"}, install={"a": "/srv"})
    outcome = await bench.deploy("demo-01", only_ends=True)
    assert outcome.outcome is Outcome.SKIPPED and not outcome.was_touched
    assert not (tmp := bench.path / "demo-01" / "srv").exists(), tmp


@pytest.mark.parametrize("group", ["g-1", "g-2"])
async def test_a_host_whose_kept_archive_was_removed_gets_it_again_for_a_rollback(bench: Bench, group: str) -> None:
    """Of its own group only: which deployment it is, the host says."""
    page, archives = bench.path / "demo-01/srv/app/page", {}
    for name in ("d-1", "d-2"):
        bench.freeze(bench.local(), deployment_id=name, files={"app/page": name}, install={"app": "/srv/app"})
        archives[name] = bench.archives.path.read_bytes()
        assert (await bench.deploy("demo-01", deployment_id=name)).outcome is Outcome.SUCCEEDED
    shutil.rmtree(bench.path / "demo-01/opt/codedeploy-agent/deployment-root/g-1/d-1")
    order = DeploymentOrder.model_validate_json(bench.store.get(order_key("d-1")))
    bench.store.put(order_key("d-1"), order.model_copy(update={"group_id": group}).model_dump_json().encode())
    bench.freeze(
        bench.local(),
        deployment_id="d-undo",
        revision=None,
        undo=Undo(deployment_id="d-2"),
        install={"app": "/srv/app"},
    )
    bench.archives.path.write_bytes(archives["d-1"])
    bench.restart()
    outcome = await bench.deploy("demo-01", deployment_id="d-undo")
    if group == "g-1":
        assert outcome.outcome is Outcome.SUCCEEDED, outcome
        assert page.read_text() == "d-1"
    else:
        assert (outcome.outcome, page.read_text()) == (Outcome.FAILED, "d-2")
        assert outcome.fault and outcome.fault.code == "NothingToGoBackTo"
