"""A deployment as it is shown, and the parts of its report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towline.model.base import Message, ReportedMessage
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase
from towline.model.messages.instance import (
    Fault,
    InstanceOutcome,
)


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
    application_id: str = ""  # of the group: what is renamed keeps it; empty where the group is not known
    group_id: str = ""
    blocked: Fault | None = None
    zone: str = ""
    shards: tuple[str, ...] = ()  # workflow ids of the open ones
    not_restored: tuple[str, ...] = ()
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
