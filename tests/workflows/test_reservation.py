"""A group's reservation on a real server: one of many is granted, the others leave nothing, none blocks the group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.harness.fakes import FakeActivities, WorkflowSite, ended
from tests.harness.temporal import TemporalServer, eventually
from towline.deployments.group_updates import GroupUpdates
from towline.errors import Conflict
from towline.model import names
from towline.model.group.group import DeploymentGroup
from towline.model.messages.group import GroupView

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    yield await temporal.new_namespace()


def group_of(fakes: FakeActivities) -> DeploymentGroup:
    return DeploymentGroup(application_name=fakes.app, deployment_group_name="production")


async def is_granted(updates: GroupUpdates, fakes: FakeActivities, deployment_id: str, seconds: float = 30.0) -> bool:
    try:
        await updates.reserve(group_of(fakes), deployment_id, by="ci", seconds=seconds)
    except Conflict as refusal:
        assert refusal.message.startswith("The Deployment Group 'production' already has an active Deployment 'd-")
        return False
    return True


async def active(client: Client, fakes: FakeActivities) -> str:
    handle = client.get_workflow_handle(names.group_workflow_id(group_of(fakes).deployment_group_id))
    view: GroupView = await handle.query(names.STATUS, result_type=GroupView)
    return view.active


async def test_of_a_hundred_at_once_one_is_granted_and_the_others_leave_nothing(
    client: Client, temporal: TemporalServer
) -> None:
    fakes = FakeActivities(hosts=1)
    other = await Client.connect(temporal.address, namespace=client.namespace, data_converter=pydantic_data_converter)
    processes = [GroupUpdates(client), GroupUpdates(other)]
    async with WorkflowSite(client, fakes) as site:
        wanted = [f"d-{number:09d}" for number in range(100)]
        granted = await asyncio.gather(*(is_granted(processes[n % 2], fakes, wish) for n, wish in enumerate(wanted)))
        (winner,) = [wish for wish, is_ours in zip(wanted, granted, strict=True) if is_ours]
        assert await active(client, fakes) == winner
        workflow_id = names.group_workflow_id(group_of(fakes).deployment_group_id)
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        accepted = [e for e in history.events if e.HasField("workflow_execution_update_accepted_event_attributes")]
        assert len(accepted) == 1
        view = await ended(await site.start(winner, ifBusy="fail"))
        assert view.info.status == "Succeeded"
        assert await is_granted(processes[0], fakes, "d-NEXT00000")


async def test_one_that_is_never_started_lets_the_next_one_go_on(client: Client) -> None:
    fakes = FakeActivities(hosts=1)
    async with WorkflowSite(client, fakes) as site:
        assert await is_granted(GroupUpdates(client), fakes, "d-NEVER0000", seconds=0.1)
        view = await ended(await site.start())
    assert view.info.status == "Succeeded"


async def test_a_deployment_that_checks_for_long_keeps_its_reservation(client: Client) -> None:
    fakes = FakeActivities(hosts=1)
    fakes.revision_is_held = True
    updates = GroupUpdates(client)
    async with WorkflowSite(client, fakes) as site:
        first = await site.start("d-FIRST0000")
        await eventually(lambda: fakes.reads_revision)
        assert await is_granted(updates, fakes, first.id, seconds=0.1)
        await eventually(lambda: is_watched(client, fakes))
        assert not await is_granted(updates, fakes, "d-SECOND000")
        fakes.revision_is_held = False
        assert (await ended(first)).info.status == "Succeeded"
        assert await is_granted(updates, fakes, "d-SECOND000")


async def test_a_deployment_that_is_refused_by_its_check_gives_its_reservation_back(client: Client) -> None:
    fakes = FakeActivities(hosts=1)
    fakes.revision_is_held = True
    updates = GroupUpdates(client)
    async with WorkflowSite(client, fakes) as site:
        assert await is_granted(updates, fakes, "d-FIRST0000")
        first = await site.start("d-FIRST0000", ifBusy="fail")
        await eventually(lambda: fakes.reads_revision)
        await first.signal(names.CANCEL)
        assert (await ended(first)).info.status == "Stopped"
        assert await is_granted(updates, fakes, "d-SECOND000")


async def is_watched(client: Client, fakes: FakeActivities) -> bool:
    """Whether the group's workflow looks whether the active deployment lives."""
    handle = client.get_workflow_handle(names.group_workflow_id(group_of(fakes).deployment_group_id))
    return bool((await handle.describe()).raw_description.pending_activities)
