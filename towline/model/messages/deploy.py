"""Requests of people and programs, and what a deployment reads for them: the group, the limits, the order."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towline.model.appspec.plan import FileExistsBehavior
from towline.model.base import ApiShape, Message
from towline.model.bundle.revision import ResolvedRevision, RevisionLocation
from towline.model.deployment.lifecycle import events_for
from towline.model.deployment.status import Creator
from towline.model.group.config import DeploymentConfig
from towline.model.group.group import NAME, AutoRollback, DeploymentGroup
from towline.model.group.monitoring import AlarmConfiguration
from towline.model.group.traffic import Ec2DeploymentOptions
from towline.model.names import DEPLOYMENT_ID


class Undo(ApiShape):
    """Ours: this deployment rolls another one back. `instances` None: every instance that the other one touched."""

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
    override_alarm_configuration: AlarmConfiguration | None = None  # in place of the group's
    ec2_deployment_options: Ec2DeploymentOptions | None = None  # in place of the group's
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
    """StopDeployment's output; `rollbackDeploymentId` (ours): a rollback runs, stop that one instead."""

    status: Literal["Pending", "Succeeded"]
    status_message: str = ""
    rollback_deployment_id: str = ""


class ReadGroup(Message):
    """Asks for a group and the configuration in force (the request's name wins over the group's)."""

    application: str
    group: str
    config_name: str | None = None


class GroupFacts(Message):
    """The group as declared now, and the configuration in force."""

    group: DeploymentGroup
    config: DeploymentConfig
    application_id: str = ""


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
