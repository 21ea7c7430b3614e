"""How a deployment ended, in words: what happened in numbers, what became of the fleet, what helps. Pure.

CodeDeploy's own sentences stay in `errorInformation` and `rollbackInfo`, since clients match on them; people get these.
"""

from __future__ import annotations

from towline.model.deployment.describe import failure_lines, names, printable
from towline.model.deployment.info import ErrorInformation
from towline.model.deployment.status import DeploymentStatus, ErrorCode, Outcome
from towline.model.messages.view import DeploymentView, Progress


def end_message(view: DeploymentView) -> str:
    """How it ended, in words: what failed, on which instance, with its last lines, and what became of the fleet."""
    info, progress = view.info, view.progress
    lines = [f"{info.status}: {info.full_name} {info.deployment_id}"]
    if info.error_information:
        lines[0] += f" ({info.error_code}): {failure_reason(view)}"
    lines += failure_lines(progress.failures)
    if sentence := rollback_sentence(view):
        lines.append(sentence)
    if fate := rollback_result(view):
        lines.append(fate)
    return "\n".join(lines)


def rollback_result(view: DeploymentView) -> str:
    """What became of the hosts of a deployment that did not succeed; empty for one that did, or has not ended.

    >>> from towline.model.deployment.info import DeploymentInfo, DeploymentOverview
    >>> failed = DeploymentInfo(deployment_id="d-1", status="Failed")
    >>> rollback_result(DeploymentView(info=failed, progress=Progress(not_restored=("web-01",))))
    'Rollback incomplete on web-01.'
    >>> terminated = DeploymentInfo(deployment_id="d-1", status="Stopped")
    >>> rollback_result(DeploymentView(info=terminated, progress=Progress(is_whole=False)))
    'It was ended from outside: which instances it touched is not known here. Take them back with: towline rollback d-1'
    """
    progress = view.progress
    if progress.not_restored:
        return f"Rollback incomplete on {names(progress.not_restored, named=10)}."
    if view.info.status not in (DeploymentStatus.FAILED, DeploymentStatus.STOPPED):
        return ""
    undo = f"towline rollback {view.info.deployment_id}"
    if not progress.touched and progress.is_whole:
        return "No instance was touched."
    if not progress.touched:  # a terminated deployment could write no last word
        return f"It was ended from outside: which instances it touched is not known here. Take them back with: {undo}"
    if progress.is_whole:
        return "All changed instances were rolled back."
    who = "1 touched instance stays as it is. Take it" if progress.touched == 1 else ""
    return f"{who or f'{progress.touched} touched instances stay as they are. Take them'} back with: {undo}"


def failure_reason(view: DeploymentView) -> str:
    """Why a deployment did not succeed, in numbers where CodeDeploy's sentence has none; empty where nothing is wrong.

    >>> from towline.model.deployment.info import DeploymentInfo, DeploymentOverview
    >>> info = DeploymentInfo(deployment_id="d-1", status="Failed", deployment_config_name="Half",
    ...     error_information=ErrorInformation(code="HEALTH_CONSTRAINTS", message="too many"),
    ...     deployment_overview=DeploymentOverview(failed=6, skipped=24))
    >>> failure_reason(DeploymentView(info=info, progress=Progress(total=60, slots=6, minimum_healthy=54)))
    '6 of 60 instances failed, and Half wants 54 to stay healthy; 24 were not begun.'
    """
    error = view.info.error_information or ErrorInformation()
    message = printable(error.message)
    if error.code == ErrorCode.NO_INSTANCES:
        selects = view.progress.selects
        return f"No instance is in the group: it selects {selects}." if selects else message
    if error.code == ErrorCode.HEALTH_CONSTRAINTS and view.progress.total:
        return _too_many_failed(view)
    return message


def rollback_sentence(view: DeploymentView) -> str:
    """Which rollback takes this deployment back, and what it came to; empty where there is none."""
    progress = view.progress
    rollback_id = view.info.rollback_info.rollback_deployment_id
    if not rollback_id:
        return ""
    if not progress.rollback:
        return f"Rollback {rollback_id} has begun. Watch: towline status {rollback_id} --watch"
    end = progress.rollback
    back = f"{end.succeeded} of {end.total} instances are back" if end.total else "how far it came is not known"
    return f"Rollback {rollback_id} {end.status.value}: {back}."


def remedies(view: DeploymentView) -> list[str]:
    """What helps where hosts that do not answer used up what the configuration lets be out of service.

    Each deployment tries such hosts first, as it does all that failed, so it would end in the same way.
    """
    dead = _dead_hosts(view)
    if not dead:
        return []
    info, progress = view.info, view.progress
    where = f"{info.application_name or 'APP'} {info.deployment_group_name or 'GROUP'}"
    config = info.deployment_config_name or "the configuration"
    least = f"{len(dead)} of them" if len(dead) > 1 else "it"
    cause = (
        f"{config} lets {progress.slots} of {progress.total} instances be out of service at once, and "
        f"{names(dead, named=10)} did not answer. Hosts that failed are tried first, so the next deployment ends in "
        f"the same way until {least} {'answers' if len(dead) == 1 else 'answer'} again. To go on without:"
    )
    return [
        cause,
        f"    take {least} out of the group in towline.yaml, then: towline apply -f towline.yaml",
        f"    or let one more be out of service: {_config_for(where, progress, len(dead))}",
    ]


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _too_many_failed(view: DeploymentView) -> str:
    progress, overview = view.progress, view.info.overview
    failed, total = overview.failed, progress.total
    if view.info.undoes:
        return f"{total - overview.succeeded} of {total} instances could not be brought back."
    if total == 1:
        return "The only instance failed."
    config = view.info.deployment_config_name or "the configuration"
    text = f"{failed} of {total} instances failed, and {config} wants {progress.minimum_healthy} to stay healthy"
    skipped = overview.skipped
    return text + (f"; {skipped} {'were' if skipped > 1 else 'was'} not begun." if skipped else ".")


def _dead_hosts(view: DeploymentView) -> list[str]:
    """The hosts that did not answer, where they alone ended the deployment before others were begun."""
    overview, failures = view.info.deployment_overview, view.progress.failures
    ended_by = view.info.error_code == ErrorCode.HEALTH_CONSTRAINTS
    only_dead = all(failure.outcome is Outcome.UNREACHABLE for failure in failures)
    if view.info.undoes or not (ended_by and failures and only_dead and overview and overview.skipped):
        return []
    return [failure.instance for failure in failures]


def _config_for(where: str, progress: Progress, dead: int) -> str:
    """The configuration that goes on beside as many dead hosts as there are: a predefined one where that is enough."""
    deploy = f"towline deploy {where} --revision …"
    if progress.total // 2 > dead:
        return f"{deploy} --config CodeDeployDefault.HalfAtATime"
    floor = max(0, progress.total - dead - 1)
    return f"{deploy} --config NAME, with minimumHealthyHosts {{type: HOST_COUNT, value: {floor}}} declared as NAME"
