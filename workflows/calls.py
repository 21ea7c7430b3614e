"""Typed stubs of the activities, so that workflows import no I/O and answers keep their types.

The bodies raise: what runs is registered by `worker.py` under the same names. `tests/workflows/test_calls.py` compares
the stubs with the classes.
"""

from __future__ import annotations

from temporalio import activity

from towline.model.bundle.revision import ReadRevision, ResolvedRevision
from towline.model.messages.deploy import GroupFacts, ReadGroup
from towline.model.messages.fleet import Fleet, ReadFleet
from towline.model.messages.group import ActiveEnd, JoinQueue, LeaveQueue, OutcomePage, QueueAnswer, WatchActive
from towline.model.messages.instance import HaltOrder, InstanceOrder, InstanceOutcome
from towline.model.messages.shard import ShardOutcome, ShardWreck
from towline.model.messages.view import DeploymentRecord, ReportWritten


@activity.defn
async def read_group(request: ReadGroup) -> GroupFacts:
    """Reads a group and the configuration in force from the catalogue."""
    raise NotImplementedError


@activity.defn
async def read_revision(request: ReadRevision) -> ResolvedRevision:
    """Reads a revision once: digest, AppSpec, compiled plan."""
    raise NotImplementedError


@activity.defn
async def read_fleet(request: ReadFleet) -> Fleet:
    """Resolves, orders and freezes a deployment's instances."""
    raise NotImplementedError


@activity.defn
async def deploy_instance(order: InstanceOrder) -> InstanceOutcome:
    """Starts or re-attaches on one host, and follows to the end."""
    raise NotImplementedError


@activity.defn
async def halt_instances(order: HaltOrder) -> None:
    """Ends what runs on hosts, hooks too."""
    raise NotImplementedError


@activity.defn
async def join_turn(request: JoinQueue) -> QueueAnswer:
    """Asks the group for the turn, starting the group's workflow where there is none."""
    raise NotImplementedError


@activity.defn
async def leave_turn(end: LeaveQueue) -> None:
    """Gives the turn back."""
    raise NotImplementedError


@activity.defn
async def record_outcomes(page: OutcomePage) -> None:
    """Tells the group how instances ended."""
    raise NotImplementedError


@activity.defn
async def watch_active(request: WatchActive) -> ActiveEnd:
    """Returns when the active deployment's workflow is closed."""
    raise NotImplementedError


@activity.defn
async def write_report(record: DeploymentRecord) -> ReportWritten:
    """Merges the instances' records into the report."""
    raise NotImplementedError


@activity.defn
async def read_wreck(wreck: ShardWreck) -> ShardOutcome:
    """Reads how the members of a shard ended that was ended from outside."""
    raise NotImplementedError
