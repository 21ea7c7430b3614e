"""Between a deployment and its group: its queue, and what the group remembers of its instances."""

from __future__ import annotations

from typing import Literal, TypedDict

from pydantic import Field

from towline.model.base import Message
from towline.model.deployment.status import DeploymentStatus, Outcome
from towline.model.messages.shard import (
    RunsNow,
)


class GroupKey(TypedDict):
    """What every message of a deployment to its group begins with."""

    application: str
    group: str
    group_id: str
    deployment_id: str


class GroupMessage(Message):
    """A message of a deployment to its group."""

    application: str
    group: str
    group_id: str
    deployment_id: str


class JoinQueue(GroupMessage):
    """Asks for a place in a group's queue; idempotent by deployment id."""

    run_id: str
    if_busy: Literal["wait", "fail", "supersede"] = "wait"
    handed_over_by: str = ""  # of a rollback: its parent, which is the active one
    by: str = ""  # who asked for the deployment


class QueueAnswer(Message):
    """Whether the deployment is the active one, else which are ahead (the active one first)."""

    granted: bool
    ahead: tuple[str, ...] = ()
    ahead_by: str = ""  # who asked for the first of these
    refused: str = ""  # why it is not even queued
    held: str = ""  # the queue is held until a person says go


class LeaveQueue(GroupMessage):
    """Leaves the queue, with what the group is to remember."""

    status: DeploymentStatus
    revision: str = ""  # label
    sha256: str = ""
    is_undo: bool = False
    not_restored: tuple[str, ...] = ()


class WatchActive(Message):
    """Asks for the end of an active deployment's workflow; `group` is for people."""

    deployment_id: str
    run_id: str
    group: str = ""


class ActiveEnd(Message):
    """An active deployment that closed without leaving the queue: what the store knows of its instances."""

    deployment_id: str
    status: str  # Temporal's: TERMINATED, FAILED, …; NOT_FOUND: it knows no such workflow
    results: dict[Outcome, tuple[str, ...]] = Field(default_factory=dict)  # those that had ended
    unknown: tuple[str, ...] = ()  # frozen in its plan, without a record
    is_undo: bool = False


class StatesPage(Message):
    """Asks the group's `states` query for instances after a name, in the order of names."""

    after: str = ""
    limit: int = 500


class OutcomePage(GroupMessage):
    """Instances' outcomes of one shard, for the group to remember."""

    revision: str = ""
    sha256: str = ""
    is_undo: bool = False
    results: dict[Outcome, tuple[str, ...]] = Field(default_factory=dict)
    now: tuple[RunsNow, ...] = ()


class InstanceState(Message):
    """What the group knows of one instance."""

    outcome: Outcome
    deployment_id: str
    revision: str = ""  # label of what it runs, as far as known
    sha256: str = ""
    revision_by: str = ""  # the deployment that brought it there
    before: str = ""  # label of what it ran before that
    before_by: str = ""
    is_healthy: bool = False
    not_restored: bool = False


class GroupView(Message):
    """The answer of the group's `status` query."""

    application: str
    group: str
    group_id: str
    active: str = ""
    waiting: tuple[str, ...] = ()
    held: str = ""
    last_succeeded: str = ""  # deployment id
    last_attempted: str = ""
    revision: str = ""  # label of the last successful one
    sha256: str = ""
    not_restored: tuple[str, ...] = ()


class Reservation(GroupMessage):
    """Asks to make a deployment the group's active one before it is started; refused where the group is busy."""

    by: str = ""  # who asks for the deployment
    seconds: float = 30.0  # how long it holds for a deployment that does not exist yet
