"""DeploymentService against a real Temporal: what it starts, finds and controls, and what the store knows alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.client import Client

from tests.deployments.requests import request
from tests.harness.temporal import TemporalServer, eventually, running_worker
from towline.client import DeploymentFilter, DeploymentService, StopRequest, Who
from towline.errors import Conflict, InvalidInput, NotFound
from towline.model import names
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.report import DeploymentReport
from towline.model.deployment.request import fingerprint
from towline.model.deployment.status import DeploymentStatus
from towline.model.deployment.view import with_request
from towline.model.messages.deploy import StopAnswer, Undo
from towline.model.messages.view import DeploymentView, Progress

pytestmark = pytest.mark.slow


@workflow.defn(name=names.DEPLOYMENT, sandboxed=False)
class StoppableDeployment:
    """Stands in for Deployment: runs until it is stopped; confirms the stop at the second request."""

    def __init__(self) -> None:
        self._stops = 0
        self._id = workflow.info().workflow_id

    @workflow.run
    async def run(self, given: dict[str, Any]) -> DeploymentView:
        await workflow.wait_condition(lambda: self._stops > 1)
        return self.status()

    @workflow.query(name=names.STATUS)
    def status(self) -> DeploymentView:
        status = DeploymentStatus.STOPPED if self._stops > 1 else DeploymentStatus.IN_PROGRESS
        return DeploymentView(info=info(self._id, status), progress=Progress(touched=1))

    @workflow.update(name=names.CANCEL)
    def stop(self, stop: dict[str, Any]) -> StopAnswer:
        self._stops += 1
        return StopAnswer(status="Succeeded" if self._stops > 1 else "Pending", status_message="")

    @workflow.signal(name=names.CANCEL)
    def stop_by_signal(self, stop: dict[str, Any]) -> None:
        self._stops = 2


def info(deployment_id: str, status: DeploymentStatus, undoes: str = "") -> DeploymentInfo:
    given = request(revision=None, undo=Undo(deployment_id=undoes)) if undoes else request()
    shown = DeploymentInfo(
        deployment_id=deployment_id,
        status=status,
        create_time="2025-01-01T00:00:00.000+00:00",
        complete_time="2025-01-01T00:01:00.000+00:00" if status.is_final else "",
        revision=given.revision,
    )
    return with_request(shown, given)


@pytest_asyncio.fixture
async def client(temporal: TemporalServer) -> Client:
    return await temporal.new_namespace()


@pytest_asyncio.fixture
async def worker(client: Client) -> AsyncIterator[None]:
    async with running_worker(client, workflows=[StoppableDeployment], task_queue=names.TASK_QUEUE):
        yield


@pytest.fixture
def service(client: Client, tmp_path: Path) -> DeploymentService:
    (tmp_path / "store").mkdir()
    return DeploymentService(client, store=str(tmp_path / "store"))


async def record(service: DeploymentService, deployment_id: str, undoes: str = "") -> None:
    """Writes the report of a deployment that Temporal has forgotten."""
    view = DeploymentView(info=info(deployment_id, DeploymentStatus.SUCCEEDED, undoes), progress=Progress(touched=1))
    report = DeploymentReport(view, run_id="run-1", request_fingerprint=fingerprint(request()))
    (await service.storage.records()).put_report(report, "<page>")


@pytest.mark.usefixtures("worker")
async def test_the_same_id_attaches_with_the_same_parameters_only(service: DeploymentService) -> None:
    assert not (await service.start(request(), "d-1")).attached
    assert (await service.start(request(), "d-1")).attached
    with pytest.raises(Conflict, match="d-1"):
        await service.start(request(description="another"), "d-1")


@pytest.mark.usefixtures("worker")
async def test_a_deployment_is_found_by_id_beginning_and_group(service: DeploymentService) -> None:
    await record(service, "d-OLD")
    await service.start(request(), "d-NEW")

    async def is_listed() -> bool:
        return len(await service.list_deployments(DeploymentFilter("shop", "web"))) == 2

    await eventually(is_listed)
    assert [await service.find(text) for text in ("d-NEW", "d-N", "d-O", "shop/web")] == [
        "d-NEW",
        "d-NEW",
        "d-OLD",
        "d-NEW",
    ]
    for absent in ("d-X", "", "shop/other"):
        with pytest.raises(NotFound):
            await service.find(absent)


async def test_what_temporal_has_forgotten_is_read_from_the_store(service: DeploymentService) -> None:
    await record(service, "d-OLD")
    assert (await service.view("d-OLD")).info.status == "Succeeded"
    assert await service.run_id("d-OLD") == "run-1"
    assert await service.find("shop/web") == "d-OLD"
    assert await service.recorded_result(request(), "d-OLD") == await service.view("d-OLD")
    assert await service.recorded_result(request(), "d-NEW") is None
    with pytest.raises(Conflict, match="d-OLD"):
        await service.recorded_result(request(description="another"), "d-OLD")
    with pytest.raises(NotFound):
        await service.view("d-NEW")


@pytest.mark.usefixtures("worker")
async def test_a_stop_is_confirmed_by_asking_again(service: DeploymentService) -> None:
    await service.start(request(), "d-1")
    answer = await service.stop("d-1", StopRequest())
    assert answer and answer.status == "Pending"
    answer = await service.stop("d-1", StopRequest(), confirm_seconds=30)
    assert answer and answer.status == "Succeeded"
    assert (await service.wait("d-1")).info.status == "Stopped"
    assert not await service.is_open("d-1")
    with pytest.raises(NotFound):
        await service.stop("d-1", StopRequest())


async def test_without_a_worker_a_stop_waits_in_temporal(service: DeploymentService, client: Client) -> None:
    await service.start(request(), "d-1")
    assert await service.stop("d-1", StopRequest()) is None
    async with running_worker(client, workflows=[StoppableDeployment], task_queue=names.TASK_QUEUE):
        assert (await asyncio.wait_for(service.wait("d-1"), 30)).info.status == "Stopped"


@pytest.mark.usefixtures("worker")
async def test_only_an_ended_deployment_that_is_no_rollback_can_be_rolled_back(service: DeploymentService) -> None:
    await service.start(request(), "d-OPEN")
    with pytest.raises(Conflict, match="has not ended"):
        await service.rollback_request("d-OPEN", Who("ada"))
    await record(service, "d-BACK", undoes="d-0")
    with pytest.raises(InvalidInput, match="is a rollback itself"):
        await service.rollback_request("d-BACK", Who("ada"))
    await record(service, "d-OLD")
    asked = await service.rollback_request("d-OLD", Who("ada"))
    assert asked.undo and (asked.undo.deployment_id, asked.undo.run_id) == ("d-OLD", "run-1")
    assert asked.requested_by == "ada"


@pytest.mark.usefixtures("worker")
async def test_a_watch_ends_with_the_final_view(service: DeploymentService) -> None:
    await service.start(request(), "d-1")
    statuses = []
    async for snapshot in service.watch("d-1", pace=0.05):
        assert snapshot.view
        statuses.append(snapshot.view.info.status)
        if not snapshot.has_ended:
            await service.stop("d-1", StopRequest())
    assert (statuses[0], statuses[-1]) == ("InProgress", "Stopped")
    assert snapshot.has_ended
