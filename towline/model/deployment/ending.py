"""How a deployment ends: whether it may begin at all, what its rollout came to, and whether it is rolled back. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from towline.model.deployment.status import DeploymentStatus, ErrorCode
from towline.model.group.config import MinimumHealthyHosts
from towline.model.group.group import AutoRollback
from towline.model.messages.deploy import StopRequest
from towline.model.rollout.health import has_succeeded, is_impossible

NO_INSTANCES_MESSAGE = (
    "The deployment failed because no instances were found for your deployment group. Check your deployment group "
    "settings to make sure the tags for your Amazon EC2 instances or Auto Scaling groups correctly identify the "
    "instances you want to deploy to, and then try again."
)
"""CodeDeploy's own sentence: clients match on it."""

HEALTH_CONSTRAINTS_MESSAGE = (
    "The overall deployment failed because too many individual instances failed deployment, too few healthy instances "
    "are available for deployment, or some instances in your deployment group are experiencing problems."
)
"""CodeDeploy's own sentence: clients match on it."""


@dataclass(frozen=True)
class Ending:
    """The final status, with CodeDeploy's error code and a message where it did not succeed."""

    status: DeploymentStatus
    code: str = ""
    message: str = ""


SUCCESS = Ending(DeploymentStatus.SUCCEEDED)


def failure(code: str, message: str) -> Ending:
    """The deployment fails for this reason."""
    return Ending(DeploymentStatus.FAILED, code, message)


def stopped_by(stop: StopRequest) -> Ending:
    """A user, or a deployment that supersedes it, ended it."""
    return Ending(DeploymentStatus.STOPPED, ErrorCode.MANUAL_STOP, stop.reason or "the deployment was stopped")


def why_not_begun(rule: MinimumHealthyHosts, hosts: int, *, is_rollback: bool) -> Ending | None:
    """Why a fleet of this size cannot be rolled out to; None: it can.

    >>> rule = MinimumHealthyHosts(type="HOST_COUNT", value=3)
    >>> [end and str(end.code) for end in (why_not_begun(rule, n, is_rollback=False) for n in (0, 3, 4))]
    ['NO_INSTANCES', 'HEALTH_CONSTRAINTS_INVALID', None]
    """
    if hosts == 0:
        return failure(ErrorCode.NO_INSTANCES, NO_INSTANCES_MESSAGE)
    if not is_rollback and is_impossible(rule, hosts):
        message = f"{rule.type} {rule.value} of {hosts} leaves no instance that may be taken out of service"
        return failure(ErrorCode.HEALTH_CONSTRAINTS_INVALID, message)
    return None


@dataclass(frozen=True)
class RolloutResult:
    """What is known when a rollout is over."""

    instances: int
    succeeded: int
    floor: int
    is_lost: bool = False  # every slot was kept by a failure while instances waited
    is_out_of_time: bool = False
    timeout_seconds: int = 0


def ending_of(result: RolloutResult, stop: StopRequest | None, *, is_rollback: bool) -> Ending:
    """What a rollout comes to. A stop wins over everything; a rollback has to bring every instance back.

    >>> half = RolloutResult(instances=4, succeeded=3, floor=2)
    >>> [ending_of(half, None, is_rollback=is_rollback).status.value for is_rollback in (False, True)]
    ['Succeeded', 'Failed']
    """
    if stop:
        return stopped_by(stop)
    if result.is_out_of_time:
        return failure(ErrorCode.TIMEOUT, f"the deployment took longer than its {result.timeout_seconds} s")
    if is_rollback:
        is_done = result.succeeded == result.instances
    else:
        is_done = has_succeeded(result.floor, result.succeeded) and not result.is_lost
    return SUCCESS if is_done else failure(ErrorCode.HEALTH_CONSTRAINTS, HEALTH_CONSTRAINTS_MESSAGE)


def calls_for_rollback(
    status: DeploymentStatus, rollback: AutoRollback, stop: StopRequest | None, *, was_touched: bool, is_rollback: bool
) -> bool:
    """Whether a deployment that has ended so is rolled back: as the stop says, else as the group (or request) does.

    >>> on_failure = AutoRollback(enabled=True, events=("DEPLOYMENT_FAILURE",))
    >>> calls_for_rollback(DeploymentStatus.FAILED, on_failure, None, was_touched=True, is_rollback=False)
    True
    >>> stop = StopRequest(rollback=False)
    >>> calls_for_rollback(DeploymentStatus.STOPPED, on_failure, stop, was_touched=True, is_rollback=False)
    False
    """
    if status is DeploymentStatus.SUCCEEDED or not was_touched or is_rollback:
        return False
    if stop and stop.rollback is not None:
        return stop.rollback
    event = "DEPLOYMENT_STOP_ON_REQUEST" if stop else "DEPLOYMENT_FAILURE"
    return rollback.enabled and event in rollback.events
