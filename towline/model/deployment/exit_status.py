"""The exit status of commands, by how a deployment or an attempt ended. Stable: CI scripts branch on it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from towline.errors import Conflict, InvalidInput, NotFound, TemporalUnavailable, TowlineError
from towline.model.deployment.status import DeploymentStatus, ErrorCode

if TYPE_CHECKING:  # every command imports this module; `--help` should not pay for pydantic
    from towline.model.messages.view import DeploymentView


class ExitStatus(IntEnum):
    """What a command's exit status tells."""

    SUCCEEDED = 0
    FAILED_WHOLE = 1  # failed, and every touched host is back where it was
    BAD_INPUT = 2
    STOPPED = 3
    NEEDS_A_PERSON = 4  # ended, and hosts were not restored or were left as the failure found them
    OUT_OF_SIGHT = 5  # Temporal or its workers do not answer; the rollout may go on
    LET_GO = 130  # Ctrl-C while watching; the rollout goes on
    TERMINATED = 143  # SIGTERM while watching; the rollout goes on


_BAD_INPUT = (
    ErrorCode.INVALID_REQUEST,
    ErrorCode.INVALID_REVISION,
    ErrorCode.APPLICATION_MISSING,
    ErrorCode.DEPLOYMENT_GROUP_MISSING,
    ErrorCode.CONFIG_MISSING,
    ErrorCode.REVISION_MISSING,
    ErrorCode.RESOURCE_MISSING,
    ErrorCode.NOT_BUILT,
)


def exit_status(view: DeploymentView) -> ExitStatus:
    """The exit status of a deployment that has ended; for one that has not, that sight of it was lost.

    A failed one that touched nothing left the fleet whole. A request that names what does not exist, and a
    revision that cannot be used, are bad input, whether a command found that out or the deployment.
    Hosts that were not restored weigh more than a stop: a person has to look at them.
    """
    status = view.info.status
    if status == DeploymentStatus.SUCCEEDED:
        return ExitStatus.SUCCEEDED
    if status not in (DeploymentStatus.FAILED, DeploymentStatus.STOPPED):
        return ExitStatus.OUT_OF_SIGHT
    if view.progress.not_restored:
        return ExitStatus.NEEDS_A_PERSON
    if status == DeploymentStatus.STOPPED:
        return ExitStatus.STOPPED
    if view.info.error_code in _BAD_INPUT and not view.progress.touched:
        return ExitStatus.BAD_INPUT
    return ExitStatus.FAILED_WHOLE if view.progress.is_whole else ExitStatus.NEEDS_A_PERSON


def status_of(error: TowlineError) -> ExitStatus:
    """The exit status that an error stands for, in commands and in the worker."""
    if isinstance(error, InvalidInput | NotFound | Conflict):
        return ExitStatus.BAD_INPUT
    if isinstance(error, TemporalUnavailable):
        return ExitStatus.OUT_OF_SIGHT
    return ExitStatus.FAILED_WHOLE
