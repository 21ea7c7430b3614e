"""What crosses between client, workflows and activities: one frozen message in, one out, per door.

Down go `DeployRequest`, `ShardRequest`, `InstanceOrder`; up come `InstanceOutcome`, `ShardOutcome`. What all
instances of a deployment share (`DeploymentOrder`) and how to reach them (`FleetPage`) lie in the store, by
reference, so that a history holds them once and not per instance.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towline.model.appspec.plan import FileExistsBehavior
from towline.model.base import ApiShape, Message, ReportedMessage
from towline.model.bundle.revision import ResolvedRevision, RevisionLocation
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.lifecycle import events_for
from towline.model.deployment.status import Creator, DeploymentStatus, Outcome, Phase, TargetStatus
from towline.model.fleet.instance import Target
from towline.model.group.config import DeploymentConfig
from towline.model.group.group import NAME, AutoRollback, DeploymentGroup
from towline.model.names import DEPLOYMENT_ID

# ── what people and programs ask for ─────────────────────────────────────────────────────────────────────────────


class Undo(ApiShape):
    """Ours: this deployment compensates another one. `instances` None: every instance that the other one touched."""

    deployment_id: str = Field(pattern=DEPLOYMENT_ID)
    run_id: str = ""  # the first execution run id of the deployment that is undone
    instances: tuple[str, ...] | None = None
    failed: tuple[str, ...] = ()  # those to go first
    slots: int = 0  # how many at once: as many as the other one had; 0: by the configuration


class DeployRequest(ApiShape):
    """CreateDeployment's input, and ours: `ifBusy` and what follows it. The deployment id is the workflow id."""

    application_name: str = Field(pattern=NAME)
    deployment_group_name: str = Field(pattern=NAME)
    revision: RevisionLocation | None = None  # absent only where `undo` is given
    deployment_config_name: str | None = None
    description: str = Field(default="", max_length=256)
    ignore_application_stop_failures: bool = False
    file_exists_behavior: FileExistsBehavior | None = None
    auto_rollback_configuration: AutoRollback | None = None
    update_outdated_instances_only: bool = False
    if_busy: Literal["wait", "fail", "supersede"] = "wait"
    undo: Undo | None = None
    requested_by: str = Field(default="", max_length=200)  # ours: who asks, as `user@host`
    requested_from: str = Field(default="", max_length=200)  # ours: the address of the CI run that asks
    strict: bool = False  # ours: warnings about the AppSpec are errors


class StopRequest(ApiShape):
    """The input of `cancel`. `rollback` None: as the autoRollbackConfiguration says of DEPLOYMENT_STOP_ON_REQUEST."""

    now: bool = False  # also end running hooks
    rollback: bool | None = None
    reason: str = ""


class PauseAnswer(ApiShape):
    """The answer of `pause` and `resume`: what the rollout does now."""

    status: Literal["Pausing", "Paused", "Running"]
    status_message: str = ""


class StopAnswer(ApiShape):
    """StopDeployment's output; `rollbackDeploymentId` (ours): a compensation runs, stop that one instead."""

    status: Literal["Pending", "Succeeded"]
    status_message: str = ""
    rollback_deployment_id: str = ""


# ── check: what a deployment is about ────────────────────────────────────────────────────────────────────────────


class ReadGroup(Message):
    """Asks for a group and the configuration in force (the request's name wins over the group's)."""

    application: str
    group: str
    config_name: str | None = None


class GroupFacts(Message):
    """The group as declared now, and the configuration in force."""

    group: DeploymentGroup
    config: DeploymentConfig


class Limits(Message):
    """Limits of the work on one host, in seconds unless named otherwise."""

    event_seconds: int = 3600
    deadline_seconds: int = 12 * 3600
    silence_seconds: int = 24 * 3600
    lock_wait_seconds: int = 12 * 3600
    max_revisions: int = 5
    log_bytes: int = 1024 * 1024


class DeploymentOrder(Message):
    """What all instances of one deployment share; kept in the store."""

    deployment_id: str
    run_id: str
    application: str
    group: str
    group_id: str
    creator: Creator = Creator.USER
    revision: ResolvedRevision | None = None  # None: an undo
    undo: Undo | None = None
    events: tuple[str, ...] = events_for()
    ignore_application_stop_failures: bool = False
    file_exists_behavior: FileExistsBehavior | None = None
    limits: Limits = Limits()


# ── plan: which instances, in which order ────────────────────────────────────────────────────────────────────────


class ReadFleet(Message):
    """Asks to resolve and freeze a deployment's instances: members, their state, the order, the store's pages."""

    order: DeploymentOrder
    group: DeploymentGroup
    only: tuple[str, ...] | None = None  # a compensation's instances
    first: tuple[str, ...] = ()  # those that go first, whatever their rank
    page_size: int = 250
    outdated_only: bool = False


class FleetMember(Message):
    """One instance of the frozen fleet, as the rollout needs it; `page` is its place in the store's pages."""

    name: str
    address: str = ""
    zone: str = ""
    rank: int = 0  # owed 0, unhealthy 1, unknown 2, old 3, current 4
    is_healthy: bool = False
    queue: str = ""  # task queue of its activities; empty: the deployment's own
    page: str = ""


class Fleet(Message):
    """The frozen fleet in rollout order. Without members the deployment ends as NO_INSTANCES."""

    members: tuple[FleetMember, ...] = ()
    previous_revision: str = ""  # label of what the group ran before
    warnings: tuple[str, ...] = ()


class FleetPage(Message):
    """A slice of the frozen fleet as the store keeps it."""

    targets: tuple[Target, ...]


# ── one instance ─────────────────────────────────────────────────────────────────────────────────────────────────


class InstanceOrder(Message):
    """The input of `deploy_instance`: start or re-attach on one host, follow to the end."""

    deployment_id: str
    run_id: str  # first execution run id
    instance: str
    page: str  # key of its FleetPage
    deadline_seconds: int
    only_ends: bool = False  # a stop came while nobody followed: what runs there ends at its next boundary


DETACHED = "Detached"
"""Type of the error by which an attempt of `deploy_instance` hands over: the runner on the host goes on."""


class HaltOrder(Message):
    """The input of `halt_instances`: end what runs on these hosts, hooks too, from a connection of its own."""

    orders: tuple[InstanceOrder, ...]


class Fault(ReportedMessage):
    """A fault of ours or of a host, in words for people."""

    code: str
    message: str
    hint: str = ""


class Installed(ReportedMessage):
    """What a host says that it runs of a group: the revision that succeeded there last; both empty for nothing."""

    label: str = ""
    sha256: str = ""


class InstanceOutcome(ReportedMessage):
    """How one instance's part ended. Compact: a log tail only where something failed (at most 4 KiB, masked)."""

    instance: str
    outcome: Outcome
    was_touched: bool = False  # a runner began to work on the host
    failed_event: str = ""
    error_code: int = 0  # the agent's number
    script: str = ""
    message: str = ""
    log_tail: str = ""
    fault: Fault | None = None  # of unreachable and blocked ones
    seconds: float = 0.0
    now: Installed | None = None  # after an undo, or what did not succeed; None: the host has not said


class LifecycleEventRecord(Message):
    """One lifecycle event of one instance; times are ISO 8601, control time."""

    name: str
    status: str  # CodeDeploy's LifecycleEventStatus
    start_time: str = ""
    end_time: str = ""
    error_code: int = 0
    script: str = ""
    message: str = ""
    log_tail: str = ""


class InstanceReport(Message):
    """An instance's record in the store, written by its own activity; its log lies beside it."""

    outcome: InstanceOutcome
    address: str = ""
    zone: str = ""
    start_time: str = ""
    end_time: str = ""
    attempts: int = 1
    events: tuple[LifecycleEventRecord, ...] = ()
    warnings: tuple[str, ...] = ()


class Heartbeat(Message):
    """What is live on one host: an activity's heartbeat details, read by the client and by the next attempt."""

    instance: str
    phase: str = ""  # connecting, waiting for the host, transferring, or a lifecycle event
    script: str = ""
    seq: int = 0  # last journaled event seen
    log_bytes: int = 0
    was_started: bool = False
    since: str = ""  # ISO 8601, when the phase began
    note: str = ""  # why it waits, e.g. "unreachable for 40 s: connection refused"


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Lease(Message):
    """What a shard may use, cumulatively granted: slots, and starts of instances that were healthy before.

    `returns_wanted`: somebody waits for slots, so give back what is not needed.
    """

    slots: int = 0
    healthy: int = 0
    returns_wanted: bool = True


class ShardRequest(Message):
    """The input of a Shard: at most 250 members in order, and the first lease."""

    deployment_id: str
    run_id: str
    index: int
    members: tuple[FleetMember, ...]
    lease: Lease
    window: int = 100  # most activities in flight
    deadline_seconds: int = 12 * 3600
    tolerates_failures: bool = False  # a compensation: failures keep no slot
    paused: bool = False
    stop: StopRequest | None = None


class ShardProgress(Message):
    """What a shard signals to its deployment. Cumulative, so that a lost or repeated one does no harm."""

    index: int
    sequence: int = 0  # grows with every signal, so that an overtaken one is told
    granted: Lease  # the lease that it goes by
    returned: Lease  # cumulative slots and healthy starts given back
    is_held: bool = False  # it starts nothing for another reason than its lease: pause, stop, a fault of ours
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    gained: int = 0  # successes of instances that were not healthy before
    waiting: int = 0
    confirmed_stop: bool = False
    in_flight: tuple[str, ...] = ()  # names, at most ten
    blocked: Fault | None = None  # a fault on our side that holds it
    failures: tuple[InstanceOutcome, ...] = ()  # at most ten, the last ones


class RunsNow(Message):
    """Instances that all say that they run this revision; an empty label: that they run none."""

    label: str
    sha256: str
    instances: tuple[str, ...]


class ShardOutcome(Message):
    """A shard's end: who ended how, and the worst ten with their log tails."""

    index: int
    results: dict[Outcome, tuple[str, ...]] = Field(default_factory=dict)
    touched: tuple[str, ...] = ()
    failures: tuple[InstanceOutcome, ...] = ()
    seconds: float = 0.0
    now: tuple[RunsNow, ...] = ()  # what hosts said that they run; those that succeeded going forward are left out


class ShardWreck(Message):
    """Asks what the store knows of the members of a shard that was ended from outside."""

    deployment_id: str
    run_id: str
    index: int
    names: tuple[str, ...]


class ShardOrders(Message):
    """What a deployment signals to a shard; each field is the whole truth of now."""

    lease: Lease
    paused: bool = False
    stop: StopRequest | None = None
    halt: bool = False  # the rollout is lost (HEALTH_CONSTRAINTS): start nothing more


class InstanceLive(Message):
    """What a shard's `instances` query says of one member; times are ISO 8601."""

    status: TargetStatus = TargetStatus.PENDING
    outcome: Outcome | None = None
    start_time: str = ""
    end_time: str = ""
    message: str = ""


# ── the group's turn ─────────────────────────────────────────────────────────────────────────────────────────────


class JoinQueue(Message):
    """Asks for a group's turn; idempotent by deployment id."""

    application: str
    group: str
    group_id: str
    deployment_id: str
    run_id: str
    if_busy: Literal["wait", "fail", "supersede"] = "wait"
    handed_over_by: str = ""  # a compensation: the deployment that hands its turn over
    by: str = ""  # who asked for the deployment


class Reservation(Message):
    """Asks to make a deployment the group's active one before it is started; refused where the group is busy."""

    application: str
    group: str
    group_id: str
    deployment_id: str
    by: str = ""  # who asks for the deployment
    seconds: float = 30.0  # how long it holds for a deployment that does not exist yet


class QueueAnswer(Message):
    """Whether the turn is the asker's, else who is ahead (the holder first)."""

    granted: bool
    ahead: tuple[str, ...] = ()
    ahead_by: str = ""  # who asked for the first of these
    refused: str = ""  # why it is not even queued
    held: str = ""  # the queue is held until a person says go


class LeaveQueue(Message):
    """Gives the turn back, with what the group is to remember."""

    application: str
    group: str
    group_id: str
    deployment_id: str
    status: DeploymentStatus
    revision: str = ""  # label
    sha256: str = ""
    is_undo: bool = False
    owed: tuple[str, ...] = ()


class WatchActive(Message):
    """Asks to be told when a holder of the turn is closed; `group` is for people."""

    deployment_id: str
    run_id: str
    group: str = ""


class ActiveEnd(Message):
    """A holder that closed without giving its turn back: what is known of its instances from the store."""

    deployment_id: str
    status: str  # Temporal's: TERMINATED, FAILED, …; NOT_FOUND: it knows no such workflow
    results: dict[Outcome, tuple[str, ...]] = Field(default_factory=dict)  # those that had ended
    unknown: tuple[str, ...] = ()  # frozen in its plan, without a record
    is_undo: bool = False


class StatesPage(Message):
    """Asks the group's `states` query for instances after a name, in the order of names."""

    after: str = ""
    limit: int = 500


class OutcomePage(Message):
    """Instances' outcomes of one shard, for the group to remember."""

    application: str
    group: str
    group_id: str
    deployment_id: str
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
    before: str = ""  # label of what it ran before that
    is_healthy: bool = False
    is_owed: bool = False


class GroupView(Message):
    """The answer of the group's `status` query."""

    application: str
    group: str
    group_id: str
    holder: str = ""
    waiting: tuple[str, ...] = ()
    held: str = ""
    last_succeeded: str = ""  # deployment id
    last_attempted: str = ""
    revision: str = ""  # label of the last successful one
    sha256: str = ""
    owed: tuple[str, ...] = ()


# ── the view ─────────────────────────────────────────────────────────────────────────────────────────────────────


class RollbackEnd(ReportedMessage):
    """How the rollback of a deployment ended; times are ISO 8601. `total` 0: it was ended from outside."""

    deployment_id: str
    status: DeploymentStatus
    complete_time: str = ""
    succeeded: int = 0
    total: int = 0


class Progress(ReportedMessage):
    """Ours: why a rollout is where it is. Part of `status --json` as `progress`, in camelCase there."""

    phase: Phase = Phase.CHECK
    text: str = ""  # one sentence: "in flight: web-07; 3 of 4 slots in use"
    total: int = 0
    slots: int = 0
    slots_in_use: int = 0
    in_flight: tuple[str, ...] = ()  # at most ten names
    in_flight_count: int = 0  # of all; 0: as many as are named
    waiting: int = 0
    minimum_healthy: int = 0
    paused: Literal["", "pausing", "paused"] = ""
    stopping: bool = False
    behind: tuple[str, ...] = ()  # deployments ahead in the queue
    behind_by: str = ""  # who asked for the first of these
    requested_by: str = ""
    requested_from: str = ""
    blocked: Fault | None = None
    zone: str = ""
    shards: tuple[str, ...] = ()  # workflow ids of the open ones
    owed: tuple[str, ...] = ()
    touched: int = 0
    is_whole: bool = True  # no touched host is left in another state than before or after
    failures: tuple[InstanceOutcome, ...] = ()
    warnings: tuple[str, ...] = ()
    report: str = ""
    rollback: RollbackEnd | None = None
    selects: str = ""  # which instances the group selects, where it selects none


class DeploymentView(Message):
    """The answer of a Deployment's `status` query: CodeDeploy's deploymentInfo, and our progress."""

    info: DeploymentInfo
    progress: Progress


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────


class DeploymentRecord(Message):
    """What `write_report` merges with the instances' records into the report: the deployment's own part."""

    info: DeploymentInfo
    progress: Progress
    run_id: str = ""
    request_fingerprint: str = ""  # `fingerprint` of what was asked for
    members: tuple[str, ...] = ()
    results: dict[Outcome, tuple[str, ...]] = Field(default_factory=dict)


class ReportWritten(Message):
    """Where the report is, for people."""

    key: str
    address: str = ""
