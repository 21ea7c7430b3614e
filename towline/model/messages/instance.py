"""One instance: its order, its heartbeats, how its part ended, its record in the store."""

from __future__ import annotations

from towline.model.base import Message, ReportedMessage
from towline.model.deployment.status import Outcome


class InstanceOrder(Message):
    """The input of `deploy_instance`: start or re-attach on one host, follow to the end."""

    deployment_id: str
    run_id: str  # first execution run id
    instance: str
    page: str  # key of its FleetPage
    deadline_seconds: int
    only_ends: bool = False  # a stop came when no session was open: what runs there ends at its next boundary


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
    """An instance's record in the store, written by its own activity; its log is beside it."""

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
