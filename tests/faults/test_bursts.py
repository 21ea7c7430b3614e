"""Much at once, and between two steps: joins while the group goes on as a new run, ends of 500 instances, a stop that
comes after an instance was decided on and before it is begun. Workflows and Temporal are real, hosts are played.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.group import GroupActivities
from tests.harness.fakes import EmptyStore, FakeActivities, WorkflowSite, ended, view_of
from tests.harness.temporal import TemporalServer, eventually, running_worker
from towline.model import names
from towline.model.deployment.status import DeploymentStatus, Outcome
from towline.model.group.config import PREDEFINED
from towline.model.messages.deploy import StopAnswer
from towline.model.messages.fleet import Fleet, ReadFleet
from towline.model.messages.group import GroupView, JoinQueue, LeaveQueue
from towline.temporal import is_absent
from workflows.group import GroupWorkflow

pytestmark = pytest.mark.slow

JOINS = 50
T = TypeVar("T")
R = TypeVar("R")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    yield await temporal.new_namespace()


@workflow.defn(name="Waiting", sandboxed=False)
class Waiting:
    """A deployment of which only the turn matters."""

    def __init__(self) -> None:
        self._granted = self._is_over = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._is_over)

    @workflow.signal(name=names.TURN)
    def take(self, granted: bool) -> None:
        self._granted = self._granted or granted

    @workflow.signal
    def end(self) -> None:
        self._is_over = True

    @workflow.update
    async def until_granted(self) -> None:
        await workflow.wait_condition(lambda: self._granted)


def words(name: str) -> dict[str, str]:
    return {"application": "shop", "group": "burst", "group_id": "g-burst", "deployment_id": name}


async def as_activity(call: Callable[[T], Awaitable[R]], argument: T) -> R:
    """Calls an activity's function until it returns, as Temporal retries the activity while the server is too busy."""

    async def attempt() -> list[R]:
        try:
            return [await call(argument)]
        except RPCError as error:
            if error.status not in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED):
                raise
            return []

    result: list[R] = await eventually(attempt, seconds=120)
    return result[0]


async def test_fifty_join_while_the_group_goes_on_as_a_new_run(client: Client) -> None:
    """Each turn that ends makes a new run; who joins or leaves just then is neither lost nor let in beside another."""
    group = GroupActivities(client, EmptyStore())  # type: ignore[arg-type]
    turn: list[Callable[..., Any]] = [group.join_turn, group.leave_turn, group.record_outcomes, group.watch_active]
    group_of = client.get_workflow_handle(names.group_workflow_id("g-burst"))
    queue = [f"d-{number}" for number in range(JOINS)]
    had_it: list[str] = []

    async def go_through(name: str) -> None:
        answer = await as_activity(group.join_turn, JoinQueue(**words(name), run_id=name))
        if not answer.granted:
            await waiting[name].execute_update("until_granted")
        state: GroupView = await group_of.query("status", result_type=GroupView)
        assert state.active == name
        had_it.append(name)
        await as_activity(group.leave_turn, LeaveQueue(**words(name), status=DeploymentStatus.SUCCEEDED))
        await waiting[name].signal("end")

    async with running_worker(client, workflows=[GroupWorkflow, Waiting], activities=turn, task_queue=names.TASK_QUEUE):
        waiting = {name: await client.start_workflow("Waiting", id=name, task_queue=names.TASK_QUEUE) for name in queue}
        await asyncio.gather(*(go_through(name) for name in queue))
        state: GroupView = await group_of.query("status", result_type=GroupView)
        last = await group_of.describe()
        await asyncio.gather(*(handle.result() for handle in waiting.values()))
    assert sorted(had_it) == sorted(queue)
    assert not state.active and not state.waiting and state.last_succeeded == had_it[-1]
    assert last.run_id != last.raw_description.workflow_execution_info.first_run_id, "it went on as a new run"


@dataclass
class Unattended(FakeActivities):
    """Instances whose activities go to a queue that no worker asks (yet)."""

    @activity.defn
    async def read_fleet(self, request: ReadFleet) -> Fleet:
        fleet = await super().read_fleet(request)
        return Fleet(members=tuple(member.model_copy(update={"queue": self.app}) for member in fleet.members))


async def test_a_stop_between_the_decision_for_an_instance_and_its_start_begins_nothing(client: Client) -> None:
    fakes = Unattended(hosts=2)
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start()

        async def is_decided() -> bool:
            return (await view_of(handle)).progress.in_flight == ("web-01",)

        await eventually(is_decided)

        async def is_scheduled() -> (
            bool
        ):  # the deployment counts an instance from its lease on, before its shard begins
            try:
                shard = await client.get_workflow_handle(names.shard_workflow_id(handle.id, 1)).describe()
            except RPCError as error:
                if is_absent(error):
                    return False
                raise
            return len(shard.raw_description.pending_activities) == 1

        await eventually(is_scheduled)
        await handle.execute_update(names.CANCEL, result_type=StopAnswer)

        async def is_acknowledged() -> bool:
            answer: StopAnswer = await handle.execute_update(names.CANCEL, result_type=StopAnswer)
            return answer.status == "Succeeded"

        await eventually(is_acknowledged)
        # The worker comes late: all that it gets to do is to ask whether something was begun after all.
        async with running_worker(client, activities=[fakes.deploy_instance], task_queue=fakes.app):
            view = await ended(handle)
    assert view.info.status == "Stopped"
    assert fakes.deployed == [] and fakes.ended_only == ["web-01"]


async def test_five_hundred_instances_end_in_a_burst(client: Client) -> None:
    fakes = FakeActivities(hosts=500, config=PREDEFINED["CodeDeployDefault.AllAtOnce"])
    fakes.held = {f"web-{number:02d}" for number in range(1, 501)}
    fakes.fail = {f"web-{number:02d}": "AfterInstall" for number in range(10, 501, 10)}
    async with WorkflowSite(client, fakes, max_concurrent_activities=500) as site:
        handle = await site.start()
        await eventually(lambda: len(fakes.in_flight) == 200)  # two shards, each with its window full
        fakes.held.clear()
        view = await ended(handle)
        history = await handle.fetch_history()
    assert view.info.status == "Succeeded"  # AllAtOnce: one that succeeds is enough
    assert {outcome: len(every) for outcome, every in fakes.records[-1].results.items()} == {
        Outcome.SUCCEEDED: 450,
        Outcome.FAILED: 50,
    }
    assert len(set(fakes.deployed)) == len(fakes.deployed) == 500
    assert len(history.events) < 400, "shards tell of many at once"
