"""What people do to deployments that are at work on instances: terminate, roll back twice, use an id again."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.harness.faults.site import EVENTS, FaultSite, LocalHost
from tests.harness.temporal import eventually
from towline.model import names
from towline.model.deployment.store_keys import report_key
from towline.model.group.group import group_id
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.group import GroupView

pytestmark = pytest.mark.slow


async def group_of(site: FaultSite, group: str = "web") -> GroupView:
    handle = site.client.get_workflow_handle(names.group_workflow_id(group_id("shop", group)))
    view: GroupView = await handle.query("status", result_type=GroupView)
    return view


async def bad_deployment(site: FaultSite, held: str = "ApplicationStart") -> tuple[list[LocalHost], str]:
    """d-2 has failed on web-2 and is being taken back: a hook of its rollback runs on web-2. Its id."""
    hosts = await site.declare_hosts(hosts=3, rollback=True)
    await site.deploy("d-1")
    hosts[1].fail("v2")
    await site.start("d-2", version="v2")
    hosts[1].hold(held)
    run = await eventually(
        lambda: next((r for r in hosts[1].runs if r.event == held and r.deployment not in ("d-1", "d-2")), None)
    )
    return hosts, run.deployment


async def test_a_rollback_goes_on_though_its_deployment_is_terminated(site: FaultSite) -> None:
    await site.start_worker()
    hosts, undo = await bad_deployment(site)
    await site.client.get_workflow_handle("d-2").terminate("by hand")
    hosts[1].let_go("ApplicationStart")
    view = await site.ended(undo)
    assert view.info.status == "Succeeded"
    assert [host.installed for host in hosts] == ["v1", "v1", "v1"]
    site.check_counts(undo, hosts[:2], EVENTS)
    assert (await site.deploy("d-3", version="v3")).info.status == "Succeeded"


async def test_a_terminated_rollback_leaves_hosts_not_restored_and_can_be_asked_for_again(site: FaultSite) -> None:
    await site.start_worker()
    hosts, undo = await bad_deployment(site)
    await site.client.get_workflow_handle(undo).terminate("by hand")
    await eventually(lambda: hosts[1].halt_word(undo))
    hosts[1].let_go("ApplicationStart")
    view = await site.ended("d-2")
    assert view.info.status == "Failed" and set(view.progress.not_restored) == {"web-1", "web-2"}

    async def is_dropped() -> bool:
        return not (await group_of(site)).active

    await eventually(is_dropped)
    group = await group_of(site)
    assert group.not_restored and undo in group.held, group
    again = asyncio.create_task(site.towline("rollback", "d-2", "--yes"))

    async def waits() -> bool:
        return bool((await group_of(site)).waiting)

    await eventually(waits)
    assert not (await group_of(site)).active, "a queue that is held is held for a rollback, too"
    released = await site.towline("release", "shop/web")
    assert released.status == 0 and undo in released.text, released.text
    done = await again
    assert done.status == 0 and "towline release shop/web" in done.text, done.text
    assert [host.installed for host in hosts] == ["v1", "v1", "v1"]
    assert (await group_of(site)).not_restored == ()


async def test_two_rollbacks_of_one_deployment_at_the_same_instant_take_it_back_once(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    await site.deploy("d-1")
    await site.deploy("d-2", version="v2")
    done = await asyncio.gather(*(site.towline("rollback", "d-2", "--yes") for _ in range(2)))
    assert [one.status for one in done] == [0, 0], done
    assert [host.installed for host in hosts] == ["v1", "v1"]
    for host in hosts:
        undone = [run.event for run in host.runs if run.deployment not in ("d-1", "d-2")]
        assert sorted(undone) == sorted(EVENTS), "one of the two found it done"


async def test_a_deployment_that_is_terminated_in_the_queue_has_a_report(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=1)
    hosts[0].hold("AfterInstall")
    await site.start("d-1")
    await site.begun(hosts[0], "d-1")
    await site.start("d-2", version="v2")

    async def waits() -> bool:
        return (await group_of(site)).waiting == ("d-2",)

    await eventually(waits)
    await site.client.get_workflow_handle("d-2").terminate("by hand")
    hosts[0].let_go("AfterInstall")
    assert (await site.ended("d-1")).info.status == "Succeeded"
    report = json.loads(
        await eventually(lambda: site.store.exists(report_key("d-2")) and site.store.get(report_key("d-2")))
    )
    assert report["deploymentInfo"]["status"] == "Stopped"
    assert (await site.deploy("d-3", version="v3")).info.status == "Succeeded"


async def test_a_shard_that_is_terminated_is_a_failure_of_those_in_flight_alone(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=3, rollback=True)
    await site.deploy("d-1")
    hosts[1].hold("AfterInstall")
    await site.start("d-2", version="v2")
    await site.begun(hosts[1], "d-2")
    await site.client.get_workflow_handle(names.shard_workflow_id("d-2", 1)).terminate("by hand")
    await eventually(lambda: hosts[1].halt_word("d-2"))
    hosts[1].let_go("AfterInstall")
    view = await site.ended("d-2")
    assert view.info.status == "Failed" and view.progress.is_whole
    assert view.info.overview.succeeded == 1, "web-1 had ended well before"
    assert [host.installed for host in hosts] == ["v1", "v1", "v1"]
    assert not [run for run in hosts[2].runs if run.deployment != "d-1"], "never begun, never taken back"
    assert (await site.deploy("d-3", version="v3")).info.status == "Succeeded"


async def test_an_id_that_plain_temporal_uses_again_touches_nothing(site: FaultSite) -> None:
    await site.start_worker()
    hosts = await site.declare_hosts(hosts=2)
    await site.deploy("d-1")
    before = [list(host.runs) for host in hosts]
    report = site.store.get(report_key("d-1"))
    request = DeployRequest(application_name="shop", deployment_group_name="web", revision=site.revision("v2"))
    await site.client.start_workflow(
        names.DEPLOYMENT,
        request.model_dump(mode="json", by_alias=True, exclude_none=True),
        id="d-1",
        task_queue=names.TASK_QUEUE,
    )
    view = await site.ended("d-1")
    assert view.info.status == "Failed", view
    assert [host.runs for host in hosts] == before and [host.installed for host in hosts] == ["v1", "v1"]
    assert site.store.get(report_key("d-1")) == report, "the first one's record is kept"
    assert (await site.deploy("d-2", version="v2")).info.status == "Succeeded"
