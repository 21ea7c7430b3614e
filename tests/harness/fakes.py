"""Fake activities for workflows: every activity by its real name, scripted per instance. No host, no store.

The workflows, the group's turn included, are real and run on a real Temporal server.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities.group import GroupActivities
from tests.harness.temporal import running_worker
from towline.model import names
from towline.model.bundle.revision import ReadRevision, ResolvedRevision
from towline.model.deployment.status import Outcome
from towline.model.group.config import PREDEFINED, DeploymentConfig
from towline.model.group.group import AutoRollback, DeploymentGroup
from towline.model.messages.deploy import GroupFacts, ReadGroup
from towline.model.messages.fleet import Fleet, FleetMember, ReadFleet
from towline.model.messages.instance import DETACHED, Fault, HaltOrder, InstanceOrder, InstanceOutcome
from towline.model.messages.view import DeploymentRecord, DeploymentView, ReportWritten
from workflows.deployment import DeploymentWorkflow
from workflows.group import GroupWorkflow
from workflows.shard import ShardWorkflow

REVISION = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/shop", "commitId": "1a2b3c4"}}


@dataclass
class FakeActivities:
    """What the fake activities answer, and what they were asked."""

    hosts: int = 4
    config: DeploymentConfig = PREDEFINED["CodeDeployDefault.OneAtATime"]
    rollback_on: tuple[str, ...] = ()
    fail: dict[str, str] = field(default_factory=dict)  # deployment or undo → instance that fails; by instance name
    fail_undo: set[str] = field(default_factory=set)
    blocked: dict[str, Fault] = field(default_factory=dict)  # while present, this instance meets a fault of ours
    healthy: bool = True
    zones: tuple[str, ...] = ("",)
    held: set[str] = field(default_factory=set)  # instances that wait until they are let go
    detaches: bool = False  # a cancelled activity ends with its worker, as far as Temporal knows
    app: str = field(default_factory=lambda: f"shop-{uuid.uuid4().hex[:8]}")
    read_error: ApplicationError | None = None
    revision_error: ApplicationError | None = None
    revision_is_held: bool = False  # it is read on and on
    reads_revision: bool = False
    timeout_seconds: int = 3600
    group: dict[str, Any] = field(default_factory=dict)  # further members, by CodeDeploy's names

    deployed: list[str] = field(default_factory=list)  # order of starts, rollbacks as "undo NAME"
    in_flight: set[str] = field(default_factory=set)
    most_in_flight: int = 0
    halted: list[str] = field(default_factory=list)
    ended_only: list[str] = field(default_factory=list)
    records: list[DeploymentRecord] = field(default_factory=list)
    undoing: dict[str, tuple[str, ...]] = field(default_factory=dict)

    # ── the activities ───────────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def read_group(self, request: ReadGroup) -> GroupFacts:
        if self.read_error:
            raise self.read_error
        rollback = AutoRollback(enabled=bool(self.rollback_on), events=self.rollback_on)
        group = DeploymentGroup(
            application_name=request.application,
            deployment_group_name=request.group,
            auto_rollback_configuration=rollback,
            timeout_seconds=self.timeout_seconds,
            **self.group,
        )
        return GroupFacts(group=group, config=self.config)

    @activity.defn
    async def read_revision(self, request: ReadRevision) -> ResolvedRevision:
        self.reads_revision = True
        while self.revision_is_held:
            activity.heartbeat()
            await asyncio.sleep(0.05)
        if self.revision_error:
            raise self.revision_error
        return ResolvedRevision(
            location=request.location, sha256="a" * 64, size=1, bundle_type="tgz", label=request.location.label
        )

    @activity.defn
    async def read_fleet(self, request: ReadFleet) -> Fleet:
        members = [
            FleetMember(
                name=f"web-{n:02d}",
                address=f"10.0.0.{n}",
                is_healthy=self.healthy,
                rank=3,
                zone=self.zones[n % len(self.zones)],
            )
            for n in range(1, self.hosts + 1)
        ]
        if request.order.undo:
            self.undoing[request.order.deployment_id] = request.only or ()
            by_name = {member.name: member for member in members}
            order = [*request.first, *(name for name in request.only or () if name not in request.first)]
            members = [by_name[name] for name in order]
        return Fleet(members=tuple(members))

    @activity.defn
    async def deploy_instance(self, order: InstanceOrder) -> InstanceOutcome:
        name = order.instance
        if order.only_ends:
            self.ended_only.append(name)
            return InstanceOutcome(instance=name, outcome=Outcome.STOPPED, was_touched=True)
        is_undo = order.deployment_id in self.undoing
        if name in self.blocked:
            return InstanceOutcome(instance=name, outcome=Outcome.BLOCKED, fault=self.blocked[name])
        self.deployed.append(f"undo {name}" if is_undo else name)
        self.in_flight.add(name)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        try:
            outcome = Outcome.SUCCEEDED if is_undo else await self._work(name)
        finally:
            self.in_flight.discard(name)
        fails = name in self.fail_undo if is_undo else name in self.fail
        if outcome is Outcome.SUCCEEDED and fails:
            return InstanceOutcome(
                instance=name,
                outcome=Outcome.FAILED,
                was_touched=True,
                failed_event="AfterInstall",
                error_code=4,
                script="scripts/start.sh",
                message="Script at specified location: scripts/start.sh failed with exit code 1",
                log_tail="LifecycleEvent - AfterInstall\nScript - scripts/start.sh\n[stderr]no such port\n",
            )
        return InstanceOutcome(instance=name, outcome=outcome, was_touched=True)

    async def _work(self, name: str) -> Outcome:
        while name in self.held:
            activity.heartbeat()
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                if self.detaches:
                    raise ApplicationError("the worker shuts down", type=DETACHED) from None
                return Outcome.STOPPED
        return Outcome.SUCCEEDED

    @activity.defn
    async def halt_instances(self, order: HaltOrder) -> None:
        self.halted += [one.instance for one in order.orders]

    @activity.defn
    async def write_report(self, record: DeploymentRecord) -> ReportWritten:
        self.records.append(record)
        return ReportWritten(key="report")

    @property
    def activities(self) -> list[Callable[..., Any]]:
        return [
            self.read_group,
            self.read_revision,
            self.read_fleet,
            self.deploy_instance,
            self.halt_instances,
            self.write_report,
        ]


class EmptyStore:
    """A store in which nothing was written."""

    def keys(self, prefix: str) -> list[str]:
        return []

    def exists(self, key: str) -> bool:
        return True  # so that nothing is written


class WorkflowSite:
    """A worker with the workflows and fake activities, and short ways to start and control deployments."""

    def __init__(self, client: Client, fakes: FakeActivities, **options: Any) -> None:
        """`options` are the worker's."""
        self.client = client
        self.fakes = fakes
        self._options = options
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> WorkflowSite:
        group = GroupActivities(self.client, EmptyStore())  # type: ignore[arg-type]
        turn: list[Callable[..., Any]] = [group.join_turn, group.leave_turn, group.record_outcomes, group.watch_active]
        await self._stack.enter_async_context(
            running_worker(
                self.client,
                workflows=[DeploymentWorkflow, ShardWorkflow, GroupWorkflow],
                activities=[*self.fakes.activities, *turn],
                task_queue=names.TASK_QUEUE,
                **self._options,
            )
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def start(self, deployment_id: str = "", **more: Any) -> WorkflowHandle[Any, Any]:
        request = {
            "applicationName": self.fakes.app,
            "deploymentGroupName": "production",
            "revision": REVISION,
            **more,
        }
        return await self.client.start_workflow(
            names.DEPLOYMENT,
            request,
            id=deployment_id or f"d-{uuid.uuid4().hex[:9].upper()}",
            task_queue=names.TASK_QUEUE,
            result_type=DeploymentView,
        )

    async def deploy(self, **more: Any) -> DeploymentView:
        """Starts one and waits for its end, good or bad."""
        return await ended(await self.start(**more))


async def ended(handle: WorkflowHandle[Any, Any]) -> DeploymentView:
    """The view with which a deployment ends, good or bad."""
    try:
        return DeploymentView.model_validate(await handle.result())
    except WorkflowFailureError as error:
        cause = error.cause
        assert isinstance(cause, ApplicationError), cause
        assert cause.type in ("DeploymentFailed", "DeploymentStopped"), cause
        return DeploymentView.model_validate(cause.details[0])


async def view_of(handle: WorkflowHandle[Any, Any]) -> DeploymentView:
    """What the status query answers."""
    view: DeploymentView = await handle.query(names.STATUS, result_type=DeploymentView)
    return view
