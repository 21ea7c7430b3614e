"""Stories of deployments on a real Temporal server, with played hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from tests.harness.fakes import FakeActivities, WorkflowSite, ended, view_of
from tests.harness.temporal import TemporalServer, eventually
from towline.deployments.group_history import release_queue
from towline.model import names
from towline.model.deployment.info import DeploymentOverview
from towline.model.deployment.status import Outcome, Phase
from towline.model.group.config import PREDEFINED, DeploymentConfig, MinimumHealthyHosts, ZonalConfig
from towline.model.group.group import DeploymentGroup, group_id
from towline.model.messages.deploy import PauseAnswer, StopAnswer
from towline.model.messages.group import GroupView
from towline.model.messages.instance import Fault

pytestmark = pytest.mark.slow

ALL_AT_ONCE = PREDEFINED["CodeDeployDefault.AllAtOnce"]
HALF = PREDEFINED["CodeDeployDefault.HalfAtATime"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    yield await temporal.new_namespace()


async def test_one_at_a_time_goes_through_in_order(client: Client) -> None:
    fakes = FakeActivities(hosts=4)
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
    assert view.info.status == "Succeeded"
    assert view.info.overview.succeeded == 4
    assert fakes.deployed == ["web-01", "web-02", "web-03", "web-04"]
    assert fakes.most_in_flight == 1
    assert view.progress.is_whole and view.progress.phase is Phase.ENDED
    assert fakes.records[-1].results == {Outcome.SUCCEEDED: ("web-01", "web-02", "web-03", "web-04")}


async def test_what_is_not_built_ends_it_before_anything_is_touched(client: Client) -> None:
    style = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
    fakes = FakeActivities(group={"deploymentStyle": style})
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
    assert (view.info.status, view.info.error_code) == ("Failed", "NotImplemented")
    assert "deploymentStyle.deploymentType" in view.info.error_message
    assert view.info.deployment_style.as_json() == style, "shown as it was asked for"
    assert fakes.deployed == [] and view.progress.is_whole


async def test_a_rollback_goes_on_though_its_group_now_needs_what_is_not_built(client: Client) -> None:
    fakes = FakeActivities(hosts=2, fail={"web-01": "AfterInstall"}, rollback_on=("DEPLOYMENT_FAILURE",))
    fakes.held.add("web-01")
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        fakes.group = {"alarmConfiguration": {"enabled": True, "alarms": [{"name": "errors"}]}}
        fakes.held.clear()
        view = await ended(handle)
    assert fakes.deployed == ["web-01", "undo web-01"] and view.progress.is_whole


async def test_a_failure_past_the_budget_ends_it_and_names_the_script(client: Client) -> None:
    fakes = FakeActivities(hosts=4, fail={"web-02": "AfterInstall"})
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
    assert view.info.error_code == "HEALTH_CONSTRAINTS"
    assert fakes.deployed == ["web-01", "web-02"]
    assert view.info.deployment_overview == DeploymentOverview(succeeded=1, failed=1, skipped=2)
    assert not view.progress.is_whole
    assert view.progress.failures[0].script == "scripts/start.sh"


async def test_a_failure_is_rolled_back_on_touched_hosts_only_failed_first(client: Client) -> None:
    fakes = FakeActivities(hosts=4, fail={"web-03": "AfterInstall"}, rollback_on=("DEPLOYMENT_FAILURE",))
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        view = await ended(handle)
        child = view.info.rollback_info.rollback_deployment_id
        undone = await ended(client.get_workflow_handle(child))
    assert fakes.deployed == ["web-01", "web-02", "web-03", "undo web-03", "undo web-01", "undo web-02"]
    assert view.info.status == "Failed" and view.progress.is_whole
    assert undone.info.creator == "codeDeployRollback" and undone.info.status == "Succeeded"
    assert undone.info.undoes == handle.id


async def test_hosts_that_a_rollback_cannot_reach_are_not_restored_and_hold_the_queue(client: Client) -> None:
    fakes = FakeActivities(hosts=3, fail={"web-02": ""}, fail_undo={"web-01"}, rollback_on=("DEPLOYMENT_FAILURE",))
    async with WorkflowSite(client, fakes) as site:
        fakes.held.add("web-02")
        first = await site.start()
        await eventually(lambda: "web-02" in fakes.in_flight)
        second = await site.start()
        await eventually(lambda: waits_behind(second, first.id))
        fakes.held.clear()
        view = await ended(first)
        assert view.progress.not_restored == ("web-01",) and not view.progress.is_whole
        fakes.fail.clear()
        await eventually(lambda: says(second, "waits: the queue is held"))
        group = client.get_workflow_handle(names.group_workflow_id(group_id(fakes.app, "production")))
        state = await group.query("status", result_type=GroupView)
        assert (
            state.not_restored == ("web-01",)
            and "is incomplete on web-01" in state.held
            and state.waiting == (second.id,)
        )
        third = await site.start()  # whoever comes
        await eventually(lambda: says(third, f"waits: the queue is held: {state.held}"))
        await second.execute_update(names.RESUME)  # of a pause, which is another thing
        assert not (await view_of(second)).info.start_time
        await release_queue(client, DeploymentGroup(application_name=fakes.app, deployment_group_name="production"))
        assert [(await ended(one)).info.status for one in (second, third)] == ["Succeeded"] * 2
        state = await group.query("status", result_type=GroupView)
        assert state.not_restored == () and state.last_succeeded == third.id


async def waits_behind(handle: WorkflowHandle[Any, Any], deployment_id: str) -> bool:
    return (await view_of(handle)).progress.behind == (deployment_id,)


async def test_pause_lets_those_in_flight_finish_and_resume_goes_on(client: Client) -> None:
    fakes = FakeActivities(hosts=4, config=HALF, held={"web-01", "web-02"})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: len(fakes.in_flight) == 2)
        answer = await handle.execute_update(names.PAUSE, result_type=PauseAnswer)
        assert answer.status == "Pausing"
        await eventually(lambda: says(handle, "pausing, 2 in flight: web-01, web-02"))
        fakes.held.clear()
        await eventually(lambda: says(handle, "paused"))
        assert fakes.deployed == ["web-01", "web-02"]
        await handle.signal(names.RESUME)
        assert (await ended(handle)).info.status == "Succeeded"


async def says(handle: WorkflowHandle[Any, Any], text: str) -> bool:
    return (await view_of(handle)).progress.text.startswith(text)


async def test_stop_answers_pending_then_succeeded_and_skips_the_rest(client: Client) -> None:
    fakes = FakeActivities(hosts=4, held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        answer = await handle.execute_update(names.CANCEL, {"now": True}, result_type=StopAnswer)
        assert answer.status == "Pending"
        view = await ended(handle)
    assert view.info.status == "Stopped" and view.info.error_code == "MANUAL_STOP"
    assert fakes.deployed == ["web-01"] and fakes.halted == ["web-01"]
    assert view.info.overview.skipped == 3


async def test_temporals_own_cancel_only_sets_the_stop_flag(client: Client) -> None:
    fakes = FakeActivities(hosts=3, held={"web-01"}, rollback_on=("DEPLOYMENT_STOP_ON_REQUEST",))
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        await handle.cancel()
        view = await ended(handle)
    assert view.info.status == "Stopped"
    assert fakes.deployed == ["web-01", "undo web-01"]


async def test_a_request_with_a_misspelt_key_ends_with_its_name(client: Client) -> None:
    async with WorkflowSite(client, FakeActivities()) as site:
        view = await site.deploy(revison={})
    assert view.info.error_code == "InvalidRequest"
    assert "revison: no such key. Did you mean revision?" in view.info.error_message


NO_GROUP = ApplicationError("there is no such group", type="NotFound", non_retryable=True)
NO_APPSPEC = ApplicationError("there is no appspec.yml", type="InvalidBundle", non_retryable=True)


@pytest.mark.parametrize(
    ("group_error", "revision_error", "is_held", "message"),
    [
        (None, NO_APPSPEC, False, "no appspec.yml"),
        (NO_GROUP, NO_APPSPEC, False, "no such group"),
        (NO_GROUP, None, True, "no such group"),
    ],
)
async def test_group_and_revision_are_read_side_by_side_and_the_groups_error_counts_first(
    client: Client,
    group_error: ApplicationError | None,
    revision_error: ApplicationError | None,
    is_held: bool,
    message: str,
) -> None:
    fakes = FakeActivities(read_error=group_error, revision_error=revision_error, revision_is_held=is_held)
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
        fakes.revision_is_held = False
    assert message in view.info.error_message
    assert bool(view.info.deployment_config_name) is (group_error is None)
    assert not fakes.deployed


async def test_a_stop_ends_the_reading_of_a_revision(client: Client) -> None:
    fakes = FakeActivities(revision_is_held=True)
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: fakes.reads_revision)
        await handle.signal("cancel")
        assert (await ended(handle)).info.status == "Stopped"
        fakes.revision_is_held = False
    assert not fakes.deployed


async def test_an_error_before_the_rollout_touches_nothing(client: Client) -> None:
    fakes = FakeActivities(
        read_error=ApplicationError("no application shop", type="APPLICATION_MISSING", non_retryable=True)
    )
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
    assert (view.info.error_code, view.info.error_message) == ("APPLICATION_MISSING", "no application shop")
    assert fakes.deployed == []


@pytest.mark.parametrize("policy", ["fail", "supersede", "wait"])
async def test_a_busy_group(client: Client, policy: str) -> None:
    fakes = FakeActivities(hosts=1, held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        first = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        second = await site.start()
        await eventually(lambda: waits_behind(second, first.id))
        third = await site.start(ifBusy=policy)
        if policy == "fail":
            view = await ended(third)
            assert f"already has an active Deployment '{first.id}'" in view.info.error_message
        if policy == "supersede":
            view = await ended(second)
            assert view.info.error_message == f"superseded by {third.id}"
        fakes.held.clear()
        assert (await ended(first)).info.status == "Succeeded"
        if policy != "supersede":
            assert (await ended(second)).info.status == "Succeeded"
        if policy != "fail":
            assert (await ended(third)).info.status == "Succeeded"


async def test_a_terminated_holder_does_not_block_the_group(client: Client) -> None:
    fakes = FakeActivities(hosts=1, held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        first = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        second = await site.start()
        await eventually(lambda: waits_behind(second, first.id))
        await first.terminate("by hand")
        fakes.held.clear()
        assert (await ended(second)).info.status == "Succeeded"


async def test_a_fault_of_ours_pauses_and_goes_on_when_mended(client: Client) -> None:
    fault = Fault(code="OurFault", message="S3 says 403")
    fakes = FakeActivities(hosts=3, blocked={"web-02": fault})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: says(handle, "paused: control-plane error: S3 says 403"))
        fakes.blocked.clear()
        view = await ended(handle)
    assert view.info.status == "Succeeded" and view.info.overview.succeeded == 3


async def test_zones_go_one_after_the_other(client: Client) -> None:
    config = DeploymentConfig(
        deployment_config_name="zonal",
        minimum_healthy_hosts=MinimumHealthyHosts(type="FLEET_PERCENT", value=0),
        zonal_config=ZonalConfig(
            first_zone_monitor_duration_in_seconds=1,
            minimum_healthy_hosts_per_zone=MinimumHealthyHosts(type="FLEET_PERCENT", value=50),
        ),
    )
    fakes = FakeActivities(hosts=8, zones=("b", "a"), config=config)
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
    assert view.info.status == "Succeeded"
    assert sorted(fakes.deployed[:4]) == ["web-01", "web-03", "web-05", "web-07"]
    assert fakes.most_in_flight <= 2


async def test_the_deployments_limit_ends_it_as_timeout(client: Client) -> None:
    fakes = FakeActivities(hosts=2, held={"web-01"}, timeout_seconds=1)
    async with WorkflowSite(client, fakes) as site:
        view = await site.deploy()
    assert view.info.error_code == "TIMEOUT"
    assert fakes.deployed == ["web-01"]


async def test_impossible_health_rule_and_empty_group_touch_nothing(client: Client) -> None:
    config = DeploymentConfig(
        deployment_config_name="all", minimum_healthy_hosts=MinimumHealthyHosts(type="HOST_COUNT", value=4)
    )
    for fakes, code in (
        (FakeActivities(hosts=4, config=config), "HEALTH_CONSTRAINTS_INVALID"),
        (FakeActivities(hosts=0), "NO_INSTANCES"),
    ):
        async with WorkflowSite(client, fakes) as site:
            view = await site.deploy()
        assert view.info.error_code == code
        assert fakes.deployed == []


async def test_six_hundred_instances_in_shards_all_at_once(client: Client) -> None:
    fakes = FakeActivities(hosts=600, config=HALF)
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        view = await ended(handle)
    assert view.info.overview.succeeded == 600
    assert len(fakes.deployed) == 600 and fakes.most_in_flight <= 300


async def test_an_update_with_wrong_input_is_refused(client: Client) -> None:
    fakes = FakeActivities(hosts=1, held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(names.CANCEL, {"nwo": True})
        assert "Did you mean now?" in str(refused.value.cause)
        fakes.held.clear()
        await ended(handle)


async def test_the_record_says_who_was_taken_back_and_who_is_not(client: Client) -> None:
    fakes = FakeActivities(hosts=4, fail={"web-03": ""}, fail_undo={"web-02"}, rollback_on=("DEPLOYMENT_FAILURE",))
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await ended(handle)
    (first, *_, last) = [record for record in fakes.records if record.info.deployment_id == handle.id]
    assert first.results[Outcome.FAILED] == ("web-03",)
    assert last.results == {
        Outcome.SKIPPED: ("web-04",),
        Outcome.ROLLED_BACK: ("web-01", "web-03"),
        Outcome.NOT_RESTORED: ("web-02",),
    }


async def test_a_stop_whose_worker_ends_is_carried_on_by_the_next_one(client: Client) -> None:
    fakes = FakeActivities(hosts=3, held={"web-01"}, detaches=True)
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        await eventually(lambda: "web-01" in fakes.in_flight)
        await handle.execute_update(names.CANCEL)
        view = await ended(handle)
    assert view.info.status == "Stopped" and fakes.ended_only == ["web-01"]
    assert fakes.records[-1].results[Outcome.STOPPED] == ("web-01",)
