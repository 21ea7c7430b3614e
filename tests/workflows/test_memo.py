"""What Temporal answers about a deployment without a worker is what the deployment itself would say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client

from tests.deployments.requests import request
from tests.harness.fakes import FakeActivities, WorkflowSite, ended, view_of
from tests.harness.temporal import TemporalServer, eventually
from towline.catalogue.repository import Catalogue
from towline.deployments.handle import DeploymentHandle
from towline.deployments.info import DeploymentInfos
from towline.deployments.names_now import NamesNow
from towline.deployments.start import start
from towline.model.catalogue.current_names import AS_THEN
from towline.model.deployment.info import DeploymentInfo
from towline.model.group.config import PREDEFINED
from towline.model.messages.view import DeploymentView

pytestmark = pytest.mark.slow

ALL_AT_ONCE = PREDEFINED["CodeDeployDefault.AllAtOnce"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    yield await temporal.new_namespace()


async def in_memo(client: Client, deployment_id: str) -> DeploymentInfo | None:
    memo = await DeploymentHandle(client, deployment_id).memo()
    return memo.info_named(AS_THEN) if memo else None


def infos(client: Client) -> DeploymentInfos:
    async def no_view(deployment_id: str) -> DeploymentView | None:
        raise AssertionError(f"a worker was asked about {deployment_id}")

    return DeploymentInfos(client, no_view, NamesNow(Catalogue(client)))


async def test_the_memo_follows_a_small_deployment_and_says_how_it_ended(client: Client) -> None:
    fakes = FakeActivities(hosts=3, held={"web-02"}, fail={"web-02": ""}, rollback_on=("DEPLOYMENT_FAILURE",))
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()

        async def has_one_succeeded() -> bool:
            info = await in_memo(client, handle.id)
            return info is not None and info.overview.succeeded == 1 and "web-02" in fakes.in_flight

        await eventually(has_one_succeeded)
        assert await in_memo(client, handle.id) == (await view_of(handle)).info
        fakes.held.clear()
        view = await ended(handle)
    assert view.info.status == "Failed" and view.info.rollback_info.rollback_deployment_id
    assert await in_memo(client, handle.id) == view.info == await infos(client).get(handle.id)
    child = view.info.rollback_info.rollback_deployment_id
    undone = await in_memo(client, child)
    assert undone and undone.undoes == handle.id


async def test_a_large_shard_is_asked_for_what_it_has_not_reported(client: Client) -> None:
    fakes = FakeActivities(hosts=44, config=ALL_AT_ONCE, held={"web-42", "web-43", "web-44"})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()
        reads = infos(client)  # the shard reports each fifth end

        async def says(succeeded: int) -> bool:
            if await in_memo(client, handle.id) is None:
                return False  # its first workflow task is to come
            info = await reads.get(handle.id)
            assert info
            return (info.overview.succeeded, info.overview.in_progress) == (succeeded, 44 - succeeded)

        async def has_reported_forty() -> bool:
            info = await in_memo(client, handle.id)
            return info is not None and info.overview.succeeded >= 40

        await eventually(has_reported_forty)
        await eventually(lambda: says(41))
        fakes.held -= {"web-42", "web-43"}
        await eventually(lambda: says(43))
        reported = await in_memo(client, handle.id)
        assert reported and reported.overview.succeeded < 43
        fakes.held.clear()
        await ended(handle)
    events = [event.WhichOneof("attributes") async for event in handle.fetch_history_events()]
    assert events.count("workflow_properties_modified_event_attributes") <= 20


async def test_nothing_but_temporal_is_needed_before_a_worker_begins(client: Client) -> None:
    given = request(description="from CI")
    await start(client, given, "d-NO-WORKER", task_queue="nobody-polls-this")
    info = await infos(client).get("d-NO-WORKER")
    assert info and (info.status, info.description, info.revision) == ("Created", "from CI", given.revision)
    assert info.create_time
    handle = client.get_workflow_handle("d-NO-WORKER")
    await handle.terminate("by a person")
    view = DeploymentHandle(client, "d-NO-WORKER").view
    stopped = await DeploymentInfos(client, lambda _: view(), NamesNow(Catalogue(client))).get("d-NO-WORKER")
    assert stopped and stopped.status == "Stopped"


async def test_what_is_no_deployment_has_no_memo(client: Client) -> None:
    assert await DeploymentHandle(client, "d-NEVER").memo() is None
