"""What people do to deployments that are at work on instances: terminate, roll back twice, use an id again."""

from __future__ import annotations

import pytest

from tests.faults.site import EVENTS, LocalHost, Site
from tests.support.temporal import eventually
from towline.model import names
from towline.model.group import group_id
from towline.model.messages import GroupView

pytestmark = pytest.mark.slow


async def group_of(site: Site, group: str = "web") -> GroupView:
    handle = site.client.get_workflow_handle(names.group_workflow_id(group_id("shop", group)))
    view: GroupView = await handle.query("status", result_type=GroupView)
    return view


async def bad_deployment(site: Site, held: str = "ApplicationStart") -> tuple[list[LocalHost], str]:
    """d-2 has failed on web-2 and is being taken back: a hook of its compensation runs on web-2. Its id."""
    hosts = await site.declare(hosts=3, rollback=True)
    await site.deploy("d-1")
    hosts[1].fail("v2")
    await site.start("d-2", version="v2")
    hosts[1].hold(held)
    run = await eventually(
        lambda: next((r for r in hosts[1].runs if r.event == held and r.deployment not in ("d-1", "d-2")), None)
    )
    return hosts, run.deployment


async def test_a_compensation_goes_on_though_its_deployment_is_terminated(site: Site) -> None:
    await site.worker()
    hosts, undo = await bad_deployment(site)
    await site.client.get_workflow_handle("d-2").terminate("by hand")
    hosts[1].let_go("ApplicationStart")
    view = await site.ended(undo)
    assert view.info["status"] == "Succeeded"
    assert [host.installed for host in hosts] == ["v1", "v1", "v1"]
    site.check_counts(undo, hosts[:2], EVENTS)
    assert (await site.deploy("d-3", version="v3")).info["status"] == "Succeeded"


async def test_a_terminated_compensation_leaves_hosts_owed_and_can_be_asked_for_again(site: Site) -> None:
    await site.worker()
    hosts, undo = await bad_deployment(site)
    await site.client.get_workflow_handle(undo).terminate("by hand")
    await eventually(lambda: hosts[1].halt_word(undo))
    hosts[1].let_go("ApplicationStart")
    view = await site.ended("d-2")
    assert view.info["status"] == "Failed" and set(view.progress.owed) == {"web-1", "web-2"}

    async def is_dropped() -> bool:
        return not (await group_of(site)).holder

    await eventually(is_dropped)
    group = await group_of(site)
    assert group.owed and undo in group.held, group
    status, said = await site.run("rollback", "d-2", "--yes")
    assert status == 0, said
    assert [host.installed for host in hosts] == ["v1", "v1", "v1"]
    assert (await group_of(site)).owed == ()
