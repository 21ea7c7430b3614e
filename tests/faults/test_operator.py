"""What people do to a deployment, at every phase of it: twice, in the wrong order, and two at once.

Hosts are played (tests/harness/fakes.py), workflows and Temporal are real. The acts of a phase run side by side, each
on a group of its own.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.harness.fakes import FakeActivities, WorkflowSite
from tests.harness.temporal import TemporalServer, eventually
from towline.deployments.service import DeploymentService
from towline.errors import Conflict, NotFound
from towline.model import names
from towline.model.deployment.status import Outcome
from towline.model.group.config import DeploymentConfig, MinimumHealthyHosts, ZonalConfig
from towline.model.group.group import group_id
from towline.model.messages.deploy import GroupFacts, ReadGroup, StopAnswer, StopRequest
from towline.model.messages.fleet import Fleet, ReadFleet
from towline.model.messages.group import GroupView
from towline.model.messages.instance import InstanceOrder, InstanceOutcome
from towline.model.messages.view import DeploymentRecord, DeploymentView, ReportWritten

pytestmark = pytest.mark.slow

ZONAL = DeploymentConfig(
    deployment_config_name="zonal",
    minimum_healthy_hosts=MinimumHealthyHosts(type="HOST_COUNT", value=2),
    zonal_config=ZonalConfig(first_zone_monitor_duration_in_seconds=3),
)


class Play(FakeActivities):
    """A fakes of many groups, in which each deployment can be held at each step."""

    def __init__(self) -> None:
        super().__init__(hosts=3, rollback_on=("DEPLOYMENT_FAILURE",), zones=("b", "a"))
        self.gates: set[tuple[str, str]] = set()  # (deployment, step) that wait
        self.reached: set[tuple[str, str]] = set()
        self.begun: list[tuple[str, str]] = []  # (deployment, instance), in order
        self.undone: dict[str, str] = {}  # undo → what it undoes
        self.bad: set[str] = set()  # deployments that fail on web-02
        self.zonal: set[str] = set()  # groups

    async def _pass(self, deployment_id: str, step: str) -> None:
        self.reached.add((deployment_id, step))
        while (deployment_id, step) in self.gates:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    @activity.defn
    async def read_group(self, request: ReadGroup) -> GroupFacts:
        await self._pass(activity.info().workflow_id or "", "check")
        facts = await super().read_group(request)
        return facts.model_copy(update={"config": ZONAL}) if request.group in self.zonal else facts

    @activity.defn
    async def read_fleet(self, request: ReadFleet) -> Fleet:
        if request.order.undo:
            self.undone[request.order.deployment_id] = request.order.undo.deployment_id
        await self._pass(request.order.deployment_id, "plan")
        return await super().read_fleet(request)

    @activity.defn
    async def deploy_instance(self, order: InstanceOrder) -> InstanceOutcome:
        undone = self.undone.get(order.deployment_id)
        self.begun.append((order.deployment_id, order.instance))
        try:
            await self._pass(undone or order.deployment_id, "undo" if undone else "hook")
        except asyncio.CancelledError:
            return InstanceOutcome(instance=order.instance, outcome=Outcome.STOPPED, was_touched=True)
        fails = order.deployment_id in self.bad and order.instance == "web-02"
        outcome = Outcome.FAILED if fails else Outcome.SUCCEEDED
        return InstanceOutcome(instance=order.instance, outcome=outcome, was_touched=True)

    @activity.defn
    async def write_report(self, record: DeploymentRecord) -> ReportWritten:
        await self._pass(str(record.info.deployment_id), "record")
        return await super().write_report(record)


@dataclass
class Case:
    """One deployment, held at some phase, and what was answered to those who steered it."""

    play: Play
    site: WorkflowSite
    group: str
    deployment_id: str
    answers: list[Any] = field(default_factory=list)

    @property
    def deployments(self) -> DeploymentService:
        return DeploymentService(self.site.client)

    @property
    def handle(self) -> Any:
        return self.site.client.get_workflow_handle(self.deployment_id)

    @property
    def begun(self) -> list[str]:
        """The instances that were begun."""
        return [instance for deployment, instance in self.play.begun if deployment == self.deployment_id]

    async def progress(self) -> Any:
        view = await self.deployments.view(self.deployment_id)
        assert view
        return view.progress

    def release(self) -> None:
        """Nothing waits any more."""
        self.play.gates = {gate for gate in self.play.gates if self.group not in gate[0]}

    async def steer(self, *acts: Awaitable[Any]) -> None:
        """All of these at once; a refusal is an answer too."""
        for answer in await asyncio.gather(*acts, return_exceptions=True):
            assert not isinstance(answer, BaseException) or isinstance(answer, (Conflict, NotFound, RPCError)), answer
            self.answers.append(answer)

    def pause(self) -> Awaitable[Any]:
        return self.deployments.pause(self.deployment_id)

    def resume(self) -> Awaitable[Any]:
        return self.deployments.resume(self.deployment_id)

    def stop(self, **words: Any) -> Awaitable[Any]:
        return self.deployments.stop(self.deployment_id, StopRequest(**words))

    def cancel(self) -> Awaitable[Any]:
        result: Awaitable[Any] = self.handle.cancel()
        return result

    def terminate(self) -> Awaitable[Any]:
        result: Awaitable[Any] = self.handle.terminate("by hand")
        return result

    async def reset(self) -> None:
        """Temporal's own reset, to the last task that is done."""
        events = (await self.handle.fetch_history()).events
        tasks = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")]
        request = ResetWorkflowExecutionRequest(
            namespace=self.site.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=self.deployment_id),
            reason="by hand",
            workflow_task_finish_event_id=tasks[-1],
            request_id=self.deployment_id,
        )
        await self.site.client.workflow_service.reset_workflow_execution(request)


# ── phases ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Phase:
    """Where a deployment is held. `is_decided`: its verdict has fallen, so that nothing can stop it any more."""

    name: str
    step: str = ""
    is_decided: bool = False
    is_bad: bool = False

    @property
    def undisturbed(self) -> str:
        """How it ends when nobody stops it."""
        return "Failed" if self.is_bad else "Succeeded"


PHASES = (
    Phase("check", "check"),
    Phase("queue"),
    Phase("plan", "plan"),
    Phase("hook", "hook"),
    Phase("bake"),
    Phase("record", "record", is_decided=True),
    Phase("record-failure", "record", is_decided=True, is_bad=True),
    Phase("rollback", "undo", is_decided=True, is_bad=True),
    Phase("end", is_decided=True),
)


async def held_at(phase: Phase, case: Case) -> None:
    """Starts the case's deployment and waits until it has come to the phase."""
    play, id_ = case.play, case.deployment_id
    play.gates |= {(id_, phase.step)} if phase.step else set()
    play.bad |= {id_} if phase.is_bad else set()
    play.zonal |= {case.group} if phase.name == "bake" else set()
    if phase.name == "queue":
        play.gates.add((f"{id_}-first", "hook"))
        await case.site.start(f"{id_}-first", deploymentGroupName=case.group)
        await eventually(lambda: (f"{id_}-first", "hook") in play.reached)
    await case.site.start(id_, deploymentGroupName=case.group)
    if phase.name == "end":
        await case.deployments.wait(id_)
        return

    async def is_there() -> bool:
        if phase.step:
            return (id_, phase.step) in play.reached
        view = await case.deployments.view(id_)
        assert view
        return view.progress.behind != () if phase.name == "queue" else view.info.status == "Baking"

    await eventually(is_there)


# ── acts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def pause_then_resume(case: Case) -> None:
    """While it is paused nothing begins, whatever else goes on."""
    before = case.begun
    await case.steer(case.pause())
    await case.steer(case.pause())
    case.release()
    if not isinstance(case.answers[0], (Conflict, NotFound)):

        async def rests() -> bool:
            progress = await case.progress()
            return bool(progress.phase == "roll out" and progress.paused == "paused")

        await eventually(rests)
        assert case.begun == before, "paused"
    await case.steer(case.resume())
    await case.steer(case.resume())


async def resume_first(case: Case) -> None:
    await case.steer(case.resume())
    await case.steer(case.pause(), case.resume())
    await case.steer(case.resume())


async def stop_and_go_further(case: Case) -> None:
    """A second stop adds to the first; a pause after it is refused, a resume takes nothing back."""
    await case.steer(case.stop(reason="the first"))
    await case.steer(case.stop(now=True, reason="the second"))
    await case.steer(case.pause())
    assert isinstance(case.answers[-1], (Conflict, NotFound)), case.answers
    await case.steer(case.resume())


async def two_stops_at_once(case: Case) -> None:
    await case.steer(case.stop(), case.stop(rollback=True))


async def pause_and_stop_at_once(case: Case) -> None:
    await case.steer(case.pause(), case.stop())


async def cancel_twice(case: Case) -> None:
    await case.steer(case.cancel())
    await case.steer(case.cancel())


async def cancel_and_stop_at_once(case: Case) -> None:
    await case.steer(case.cancel(), case.stop(), case.pause())


async def reset(case: Case) -> None:
    await case.steer(case.reset())


async def terminate(case: Case) -> None:
    await case.steer(case.terminate())


async def stop_and_terminate_at_once(case: Case) -> None:
    await case.steer(case.stop(), case.terminate(), case.cancel())


Act = Callable[[Case], Awaitable[None]]
GOES_ON: tuple[Act, ...] = (pause_then_resume, resume_first, reset)
STOPS: tuple[Act, ...] = (
    stop_and_go_further, two_stops_at_once, pause_and_stop_at_once, cancel_twice, cancel_and_stop_at_once,
)  # fmt: skip
ENDS: tuple[Act, ...] = (terminate, stop_and_terminate_at_once)


# ── the tests ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer) -> AsyncIterator[WorkflowSite]:
    client: Client = await temporal.new_namespace()
    async with WorkflowSite(client, Play()) as site:
        yield site


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
async def test_every_act_at_every_phase(site: WorkflowSite, phase: Phase) -> None:
    acts = [*GOES_ON, *STOPS, *ENDS]
    wrong = await asyncio.gather(*(play_through(site, phase, act) for act in acts))
    assert not any(wrong), "\n".join(sentence for each in wrong for sentence in each)


async def test_an_undo_of_a_deployment_that_is_at_work_waits_for_its_end(site: WorkflowSite) -> None:
    """Only its own rollback takes a deployment's turn over; anybody may start an undo by plain Temporal."""
    assert isinstance(site.fakes, Play)
    case = Case(site.fakes, site, "early-undo", "d-early-undo")
    await held_at(Phase("hook", "hook"), case)
    undo = {
        "applicationName": site.fakes.app,
        "deploymentGroupName": case.group,
        "undo": {"deploymentId": case.deployment_id, "instances": ["web-01", "web-02", "web-03"]},
    }
    await site.client.start_workflow(names.DEPLOYMENT, undo, id="d-undo", task_queue=names.TASK_QUEUE)

    async def is_decided() -> bool:
        view = await case.deployments.view("d-undo")
        assert view
        return view.progress.behind == (case.deployment_id,) or view.progress.phase == "roll out"

    await eventually(is_decided)
    case.release()
    views = [await case.deployments.wait(id_) for id_ in (case.deployment_id, "d-undo")]
    assert [view.info.status for view in views] == ["Succeeded", "Succeeded"]
    order = [deployment for deployment, _ in case.play.begun if deployment in (case.deployment_id, "d-undo")]
    assert order == [case.deployment_id] * 3 + ["d-undo"] * 3


async def play_through(site: WorkflowSite, phase: Phase, act: Act) -> list[str]:
    """A deployment up to the phase, the act, and its end; a sentence for each thing that must not be."""
    assert isinstance(site.fakes, Play)
    name = f"{phase.name}-{act.__name__}"
    case = Case(site.fakes, site, name, f"d-{name}")
    try:
        await held_at(phase, case)
        before = case.begun
        await act(case)
        if act not in STOPS or phase.is_decided:  # a stop needs nobody: what is under way is halted or left
            case.release()
        async with asyncio.timeout(60):
            view = await case.deployments.wait(case.deployment_id)
        case.release()
        wrong = check_end(case, phase, act, view, before)
        wrong += await check_group(case, act)
    except (AssertionError, TimeoutError) as error:
        wrong = [f"{type(error).__name__} {error}, answers {case.answers}, view {await shown(case)}"]
    return [f"{name}: {sentence}" for sentence in wrong]


async def shown(case: Case) -> str:
    view = await case.deployments.view(case.deployment_id)
    return view.model_dump_json(exclude_defaults=True)[:800] if view else "none"


def check_end(case: Case, phase: Phase, act: Act, view: DeploymentView, before: list[str]) -> list[str]:
    """How it has ended, on which instances, and what stands in its record."""
    wrong = []
    expected = "Stopped" if act in STOPS and not phase.is_decided else phase.undisturbed
    if act in ENDS and phase.name != "end":
        expected = "Stopped"
    if view.info.status != expected:
        wrong.append(f"{view.info.status}, not {expected}: {view.info}")
    if act in STOPS and case.begun != before:
        wrong.append(f"begun after the stop: {case.begun}, before it {before}")
    if act in STOPS and phase.name == "rollback":
        child = view.info.rollback_info.rollback_deployment_id
        told = {answer.rollback_deployment_id for answer in case.answers if isinstance(answer, StopAnswer)}
        if told - {child}:
            wrong.append(f"the rollback is {child}, told was {told}")
    if phase.is_bad and act not in ENDS and not view.progress.is_whole:
        wrong.append(f"not taken back: {view.progress}")
    if act is two_stops_at_once and not phase.is_decided:
        back = [name for undo, name in case.play.begun if case.play.undone.get(undo) == case.deployment_id]
        # While it bakes nothing is in flight: the first stop may be the verdict before the second one is there.
        is_late = phase.name == "bake" and not back
        if not is_late and (back != before or not view.progress.is_whole):
            wrong.append(f"taken back: {back}, touched: {before}")
    twice = [name for name, times in collections.Counter(case.begun).items() if times > 1]
    if twice and act is not reset:  # after a reset instances are asked again; their journals tell that they are done
        wrong.append(f"begun twice: {twice}")
    if expected == "Succeeded" and len(set(case.begun)) != 3:
        wrong.append(f"begun: {case.begun}")
    records = [record for record in case.play.records if record.info.deployment_id == case.deployment_id]
    if act not in ENDS and (not records or records[-1].info.status != expected):
        wrong.append(f"recorded as {[record.info.status for record in records]}")
    return wrong


async def check_group(case: Case, act: Act) -> list[str]:
    """Nobody is left in the group's queue, and after a terminate the next deployment has its turn."""
    wrong = []
    if act in ENDS:
        id_ = f"{case.deployment_id}-next"
        await case.site.start(id_, deploymentGroupName=case.group)
        async with asyncio.timeout(60):
            view = await case.deployments.wait(id_)
        wrong += [] if view.info.status == "Succeeded" else [f"the next one: {view.info}"]
    id_ = names.group_workflow_id(group_id(case.site.fakes.app, case.group))

    async def is_free() -> bool:
        try:
            state: GroupView = await case.site.client.get_workflow_handle(id_).query("status", result_type=GroupView)
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND  # it had not come so far
        return not state.active and not state.waiting and not state.held

    await eventually(is_free)
    return wrong
