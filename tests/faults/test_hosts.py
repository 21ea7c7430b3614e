"""What happens on an instance: the runner dies, a hook is ended, two deployments meet."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    UnpauseActivityRequest,
)

from tests.harness.faults.site import EVENTS, FaultSite, is_alive
from tests.harness.temporal import eventually
from towline.model import names
from towline.model.deployment.status import Outcome
from towline.model.deployment.store_keys import instance_key, report_key
from towline.model.messages.deploy import DeployRequest, StopRequest, Undo
from towline.model.messages.instance import InstanceReport

pytestmark = pytest.mark.slow


def outcome_of(site: FaultSite, deployment_id: str, instance: str) -> Outcome:
    """What the store says of an instance."""
    record = InstanceReport.model_validate_json(site.store.get(instance_key(deployment_id, instance)))
    return record.outcome.outcome


async def test_a_runner_killed_in_the_middle_of_a_hook_is_interrupted_and_the_hook_ended(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=3, rollback=True)
    await site.deploy("d-1")
    hosts[1].hold("AfterInstall")
    await site.start("d-2", version="v2")
    run = await site.begun(hosts[1], "d-2")
    os.kill(hosts[1].runner_pid("d-2"), signal.SIGKILL)
    # The next that takes the host's lock, here the undo, ends what the dead runner has left.
    await eventually(lambda: not is_alive(run.pid))
    hosts[1].let_go("AfterInstall")
    view = await site.ended("d-2")
    assert view.info.status == "Failed"
    assert outcome_of(site, "d-2", "web-2") is Outcome.INTERRUPTED
    assert "d-2 AfterInstall ended" not in hosts[1].ends
    assert hosts[2].run_of("d-2", "AfterInstall") is None, "past the budget nothing new starts"
    assert view.progress.is_whole and [host.installed for host in hosts] == ["v1", "v1", "v1"]
    assert sum(run.deployment == "d-2" for run in hosts[1].runs) == 3  # ApplicationStop of v1, then two of v2


async def test_stop_now_ends_a_hook_that_runs(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    run = await site.begun(hosts[0], "d-1")
    answer = await site.deployments.stop("d-1", StopRequest(now=True, rollback=False))
    assert answer
    view = await site.ended("d-1")
    assert view.info.status == "Stopped"
    assert not is_alive(run.pid)
    assert outcome_of(site, "d-1", "web-1") in (Outcome.STOPPED, Outcome.INTERRUPTED)
    assert hosts[0].ends == ["d-1 BeforeInstall ended"] and hosts[1].runs == []


async def test_a_plain_stop_lets_the_hook_end_and_nothing_more_begins(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    await site.begun(hosts[0], "d-1")
    await site.deployments.stop("d-1", StopRequest(rollback=False))
    await eventually(lambda: hosts[0].halt_word("d-1"))
    hosts[0].let_go("AfterInstall")
    view = await site.ended("d-1")
    assert view.info.status == "Stopped"
    assert hosts[0].ends == ["d-1 BeforeInstall ended", "d-1 AfterInstall ended"]
    assert hosts[0].run_of("d-1", "ApplicationStart") is None and hosts[1].runs == []


async def test_a_terminated_deployment_halts_and_can_still_be_rolled_back(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    await site.deploy("d-1")
    hosts[0].hold("AfterInstall")
    await site.start("d-2", version="v2")
    await site.begun(hosts[0], "d-2")
    await site.client.get_workflow_handle("d-2").terminate("by hand")
    await eventually(lambda: hosts[0].halt_word("d-2"))
    hosts[0].let_go("AfterInstall")
    await eventually(lambda: hosts[0].journal("d-2")[-1]["kind"] == "finished")
    assert hosts[0].run_of("d-2", "ApplicationStart") is None
    assert hosts[0].installed == "v2"
    await eventually(lambda: site.store.exists(report_key("d-2")))  # the group wrote it in its place
    done = await site.towline("rollback", "d-2", "--yes")
    assert done.status == 0, done.text
    assert [host.installed for host in hosts] == ["v1", "v1"]
    assert [run for run in hosts[1].runs if run.deployment != "d-1"] == [], "what was not touched is not touched now"


async def test_a_terminated_deployment_that_is_rolled_back_at_once_has_its_report_all_the_same(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    await site.deploy("d-1")
    hosts[0].hold("AfterInstall")
    await site.start("d-2", version="v2")
    await site.begun(hosts[0], "d-2")
    await site.client.get_workflow_handle("d-2").terminate("by hand")
    undo = Undo(deployment_id="d-2", run_id=await site.deployments.run_id("d-2"))
    request = DeployRequest(application_name="shop", deployment_group_name="web", undo=undo)
    await site.deployments.start(request, "d-3")  # it has the turn before the group notices that nobody holds it
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-3")).info.status == "Succeeded"
    assert hosts[0].installed == "v1"
    await eventually(lambda: site.store.exists(report_key("d-2")), seconds=10)


async def test_after_a_terminate_the_next_deployment_goes_on(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    run = await site.begun(hosts[0], "d-1")
    await site.start("d-2", version="v2")
    await site.client.get_workflow_handle("d-1").terminate("by hand")
    await eventually(lambda: hosts[0].halt_word("d-1"))
    assert is_alive(run.pid) and hosts[0].run_of("d-2", "BeforeInstall") is None, "the host's lock holds d-2 back"
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-2")).info.status == "Succeeded"
    site.check_counts("d-1", hosts, EVENTS[1:3])
    assert hosts[0].installed == "v2"


async def test_two_groups_on_one_host_take_turns(site: FaultSite) -> None:
    await site.start_worker()
    [web] = await site.declare_hosts("web", hosts=1)
    await site.declare_hosts("api", at=(web,))
    web.hold("AfterInstall")
    # Either may come first, and both install the same files.
    both = (("d-1", "web"), ("d-2", "api"))
    await asyncio.gather(*(site.start(*each, fileExistsBehavior="OVERWRITE") for each in both))
    first = await eventually(lambda: web.run_of("d-1", "AfterInstall") or web.run_of("d-2", "AfterInstall"))
    web.let_go("AfterInstall")
    views = [await site.ended("d-1"), await site.ended("d-2")]
    assert [view.info.status for view in views] == ["Succeeded", "Succeeded"]
    order = [run.deployment for run in web.runs]
    other = {"d-1": "d-2", "d-2": "d-1"}[first.deployment]
    assert order == [first.deployment] * 4 + [other] * 4, "never two at once"


async def test_deploying_under_an_id_again_attaches_in_the_same_words_only(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    hosts[0].hold("AfterInstall")
    words = ("deploy", "shop", "web", "--id", "d-1", "--revision")
    folder = site.folder / "v1"
    site.write_bundle(folder, "v1")
    first = asyncio.create_task(site.towline(*words, str(folder)))
    await site.begun(hosts[0], "d-1")
    again = asyncio.create_task(site.towline(*words, str(folder)))
    other = await site.towline(*words, str(folder), "--description", "another")
    assert other.status == 2 and "different parameters" in other.err
    hosts[0].let_go("AfterInstall")
    assert (await first).status == 0
    assert (await again).status == 0
    assert (await site.towline(*words, str(folder))).status == 0
    site.check_counts("d-1", hosts)


async def test_two_deployments_of_one_group_at_the_same_instant_go_one_after_the_other(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2, config="AllAtOnce")
    for host in hosts:
        host.hold("AfterInstall")
    await asyncio.gather(site.start("d-1"), site.start("d-2", version="v2"))
    [first] = await eventually(lambda: [run.deployment for run in hosts[0].runs if run.event == "AfterInstall"])
    second = {"d-1": "d-2", "d-2": "d-1"}[first]

    async def waits() -> bool:
        view = await site.deployments.view(second)
        return view is not None and view.progress.behind == (first,)

    await eventually(waits)
    for host in hosts:
        host.let_go("AfterInstall")
    assert [(await site.ended(one)).info.status for one in (first, second)] == ["Succeeded", "Succeeded"]
    last_end = max(host.journal(first)[-1]["time"] for host in hosts)
    assert min(host.journal(second)[0]["time"] for host in hosts) > last_end


async def test_native_pause_and_reset_of_an_activity_run_nothing_twice(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    run = await site.begun(hosts[0], "d-1")
    service, shard = site.client.workflow_service, names.shard_workflow_id("d-1", 1)
    where: dict[str, Any] = {"namespace": site.client.namespace, "execution": WorkflowExecution(workflow_id=shard)}
    await service.pause_activity(PauseActivityRequest(**where, identity="test", type="deploy_instance"))

    async def is_detached() -> bool:
        description = await site.client.get_workflow_handle(shard).describe()
        [pending] = description.raw_description.pending_activities
        return bool(pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED)

    await eventually(is_detached)
    assert is_alive(run.pid), "paused: the runner is left at work"
    await service.unpause_activity(UnpauseActivityRequest(**where, identity="test", type="deploy_instance"))
    await service.reset_activity(ResetActivityRequest(**where, identity="test", type="deploy_instance"))
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-1")).info.status == "Succeeded"
    site.check_counts("d-1", hosts)


@pytest.mark.parametrize("to", ["the first task", "the last task"])
async def test_native_reset_of_the_deployment_runs_nothing_twice(site: FaultSite, to: str) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    await site.begun(hosts[0], "d-1")
    events = (await site.client.get_workflow_handle("d-1").fetch_history()).events
    tasks = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")]
    await site.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=site.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id="d-1"),
            reason="a fault",
            workflow_task_finish_event_id=tasks[0 if to == "the first task" else -1],
            request_id="reset",
        )
    )
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-1")).info.status == "Succeeded"
    site.check_counts("d-1", hosts)
