"""Statuses: CodeDeploy's own words, and ours for how an instance's part of a deployment ended.

Source: CodeDeploy's API model (`DeploymentStatus`, `TargetStatus`, `LifecycleEventStatus`, `ErrorCode`).
"""

from __future__ import annotations

from enum import StrEnum


class DeploymentStatus(StrEnum):
    """A deployment's status as CodeDeploy names it."""

    CREATED = "Created"
    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    BAKING = "Baking"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self in (DeploymentStatus.SUCCEEDED, DeploymentStatus.FAILED, DeploymentStatus.STOPPED)


class Phase(StrEnum):
    """Where in its story a deployment is: ours, finer than `DeploymentStatus`."""

    CHECK = "check"
    TURN = "turn"
    PLAN = "plan"
    ROLL_OUT = "roll out"
    ROLL_BACK = "roll back"
    RECORD = "record"
    ENDED = "ended"

    @property
    def is_before_the_end(self) -> bool:
        """Whether instances may still be begun."""
        return self in (Phase.CHECK, Phase.TURN, Phase.PLAN, Phase.ROLL_OUT)


class TargetStatus(StrEnum):
    """An instance's status in one deployment, and that of each of its lifecycle events."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    UNKNOWN = "Unknown"


class Outcome(StrEnum):
    """How one instance's part of a deployment ended (promise 7)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # a script or a step of the runner failed
    UNREACHABLE = "unreachable"  # the host never answered, or went silent for good
    INTERRUPTED = "interrupted"  # the host or the runner died in the middle of an event
    STOPPED = "stopped"  # halted at a boundary, or its hook was ended, because the deployment was stopped
    SKIPPED = "skipped"  # never begun
    BLOCKED = "blocked"  # a fault on our side: nothing was begun, it goes back into the queue
    ROLLED_BACK = "rolled back"  # of an instance whose rollback succeeded
    NOT_RESTORED = "not restored"  # of an instance that a rollback could not bring back

    @property
    def needs_attention(self) -> bool:
        """Whether a person may want to look at the instance."""
        return self not in (Outcome.SUCCEEDED, Outcome.SKIPPED, Outcome.ROLLED_BACK)

    @property
    def target_status(self) -> TargetStatus:
        """What CodeDeploy's API would call it."""
        return _TARGET_STATUS[self]


_TARGET_STATUS = {
    Outcome.SUCCEEDED: TargetStatus.SUCCEEDED,
    Outcome.FAILED: TargetStatus.FAILED,
    Outcome.UNREACHABLE: TargetStatus.FAILED,
    Outcome.INTERRUPTED: TargetStatus.FAILED,
    Outcome.STOPPED: TargetStatus.FAILED,
    Outcome.SKIPPED: TargetStatus.SKIPPED,
    Outcome.BLOCKED: TargetStatus.PENDING,
    Outcome.ROLLED_BACK: TargetStatus.FAILED,
    Outcome.NOT_RESTORED: TargetStatus.UNKNOWN,
}


class ErrorCode(StrEnum):
    """Why a deployment did not succeed: CodeDeploy's codes, as far as towline gives them."""

    HEALTH_CONSTRAINTS = "HEALTH_CONSTRAINTS"
    HEALTH_CONSTRAINTS_INVALID = "HEALTH_CONSTRAINTS_INVALID"
    NO_INSTANCES = "NO_INSTANCES"
    INVALID_REVISION = "INVALID_REVISION"
    REVISION_MISSING = "REVISION_MISSING"
    APPLICATION_MISSING = "APPLICATION_MISSING"
    DEPLOYMENT_GROUP_MISSING = "DEPLOYMENT_GROUP_MISSING"
    MANUAL_STOP = "MANUAL_STOP"
    TIMEOUT = "TIMEOUT"
    RESOURCE_MISSING = "CODEDEPLOY_RESOURCE_CANNOT_BE_FOUND"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    # What CodeDeploy refuses before there is a deployment has no code there; docs/commands.md names these four.
    INVALID_REQUEST = "InvalidRequest"  # ours: the request itself broke a rule
    DEPLOYMENT_LIMIT = "DeploymentLimitExceededException"  # the group is busy and ifBusy is fail
    CONFIG_MISSING = "DeploymentConfigDoesNotExistException"
    NOT_BUILT = "NotImplemented"  # ours: the group needs what towline does not have


_OF_REVISION = {
    "NotFound": ErrorCode.REVISION_MISSING,
    "InvalidInput": ErrorCode.INVALID_REVISION,
    "InvalidRequest": ErrorCode.INVALID_REVISION,
}
_OF_ERROR = {
    "InvalidAppSpec": ErrorCode.INVALID_REVISION,
    "InvalidBundle": ErrorCode.INVALID_REVISION,
    "NotFound": ErrorCode.RESOURCE_MISSING,
    "InvalidInput": ErrorCode.INVALID_REQUEST,
    **{code.value: code for code in ErrorCode},
}


def deployment_error(code: str, *, of_revision: bool = False) -> ErrorCode:
    """CodeDeploy's code for an error of ours, by its `code`; `of_revision`: it was met while a revision was read.

    >>> [deployment_error(code).value for code in ("NotFound", "NO_INSTANCES", "OurFault")]
    ['CODEDEPLOY_RESOURCE_CANNOT_BE_FOUND', 'NO_INSTANCES', 'INTERNAL_ERROR']
    >>> deployment_error("NotFound", of_revision=True).value
    'REVISION_MISSING'
    """
    found = _OF_REVISION.get(code) if of_revision else None
    return found or _OF_ERROR.get(code, ErrorCode.INTERNAL_ERROR)


class ScriptError(StrEnum):
    """CodeDeploy's LifecycleErrorCode, in the order of the agent's numbers 0 to 5; 6 and 7 have no name."""

    SUCCESS = "Success"
    SCRIPT_MISSING = "ScriptMissing"
    SCRIPT_NOT_EXECUTABLE = "ScriptNotExecutable"
    SCRIPT_TIMED_OUT = "ScriptTimedOut"
    SCRIPT_FAILED = "ScriptFailed"
    UNKNOWN_ERROR = "UnknownError"


class Creator(StrEnum):
    """Who started a deployment."""

    USER = "user"
    ROLLBACK = "codeDeployRollback"
