"""How a deployment's state is shown: the query's view, the report's record, lists' search attributes, answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from towline.model import names
from towline.model.bundle.revision import shortened
from towline.model.deployment.describe import hold_reason, status_reason
from towline.model.deployment.info import DeploymentInfo, DeploymentOverview, ErrorInformation, RollbackInfo
from towline.model.deployment.request import fingerprint
from towline.model.deployment.state import DeploymentState
from towline.model.deployment.status import Outcome, Phase
from towline.model.deployment.view import location_of_label, with_request
from towline.model.fleet.selection import described
from towline.model.messages.deploy import PauseAnswer, StopAnswer
from towline.model.messages.instance import Fault, InstanceOutcome
from towline.model.messages.view import DeploymentRecord, DeploymentView, Progress
from towline.model.rollout.leases import slots_in_use
from towline.model.rollout.state import RolloutState

NAMED = 10  # most names, failures and warnings in a view


def view_of(state: DeploymentState) -> DeploymentView:
    """What the `status` query answers."""
    progress, info = _progress(state), _info(state)
    if state.queue.held:
        held = hold_reason(state.queue.held, info.application_name, info.deployment_group_name)
        text = f"waits: the queue is held: {held}"
    else:
        text = status_reason(progress)
    return DeploymentView(info=info, progress=progress.model_copy(update={"text": text}))


def record_of(state: DeploymentState) -> DeploymentRecord:
    """What the report is made of, besides the instances' own records."""
    view = view_of(state)
    return DeploymentRecord(
        info=view.info,
        progress=view.progress.model_copy(update={"phase": Phase.ENDED}),
        run_id=state.run_id,
        request_fingerprint=fingerprint(state.request),
        members=tuple(member.name for member in state.rollout.members),
        results=results_after_rollback(state),
    )


def results_after_rollback(state: DeploymentState) -> Mapping[Outcome, tuple[str, ...]]:
    """How each instance stands at the end: of those that were rolled back, what became of them."""
    rollback = state.rollback
    if rollback is None or not (rollback.has_succeeded or rollback.not_restored):
        return state.rollout.results
    touched, not_restored = set(state.rollout.touched), set(rollback.not_restored)
    kept = {
        outcome: tuple(name for name in instances if name not in touched)
        for outcome, instances in state.rollout.results.items()
    }
    restored = tuple(name for name in state.rollout.touched if name not in not_restored)
    after = {**kept, Outcome.ROLLED_BACK: restored, Outcome.NOT_RESTORED: rollback.not_restored}
    return {outcome: instances for outcome, instances in after.items() if instances}


def search_attributes(state: DeploymentState) -> dict[str, str]:
    """By what lists find the deployment."""
    found = {names.SEARCH_STATUS: state.status.value}
    if request := state.request_if_valid:
        found[names.SEARCH_APPLICATION] = request.application_name
        found[names.SEARCH_GROUP] = request.deployment_group_name
        if request.undo:
            found[names.SEARCH_REVISION] = names.rollback_label(request.undo.deployment_id)
        elif state.revision:
            found[names.SEARCH_REVISION] = shortened(state.revision.label)
        elif request.revision and state.facts and state.status.is_final:
            # A revision that could not be used. One that was asked for in an unknown group is not shown.
            found[names.SEARCH_REVISION] = shortened(request.revision.label)
    return found


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def pause_answer(state: DeploymentState) -> PauseAnswer:
    """What `pause` and `resume` answer."""
    word: Literal["Running", "Pausing", "Paused"] = "Running"
    if state.is_paused:
        word = "Pausing" if state.rollout.in_flight else "Paused"
    return PauseAnswer(status=word, status_message=view_of(state).progress.text)


def stop_answer(state: DeploymentState) -> StopAnswer:
    """What `cancel` answers: `Pending` until every shard has confirmed that it starts nothing more."""
    if state.rollback:
        child = state.rollback.deployment_id
        message = f"a rollback is under way; it is stopped by: towline stop {child}"
        return StopAnswer(status="Pending", status_message=message, rollback_deployment_id=child)
    if state.has_stopped:
        message = "No more commands will be scheduled for execution in the deployment instances"
        return StopAnswer(status="Succeeded", status_message=message)
    return StopAnswer(status="Pending", status_message=view_of(state).progress.text)


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _pause_word(state: DeploymentState) -> Literal["", "pausing", "paused"]:
    if not state.is_paused:
        return ""
    return "pausing" if state.rollout.in_flight else "paused"


def _overview(state: DeploymentState) -> DeploymentOverview | None:
    rollout = state.rollout
    total = len(rollout.members)
    if not total:
        return None
    not_begun = total - rollout.succeeded - rollout.failed - rollout.in_flight
    is_final = state.status.is_final
    return DeploymentOverview(
        pending=0 if is_final else not_begun,
        in_progress=rollout.in_flight,
        succeeded=rollout.succeeded,
        failed=rollout.failed,
        skipped=not_begun if is_final else 0,
    )


def _failures(rollout: RolloutState) -> tuple[InstanceOutcome, ...]:
    reports = [book.outcome or book.progress for book in rollout.shards]
    return tuple(failure for report in reports if report for failure in report.failures)[:NAMED]


def _in_flight_names(rollout: RolloutState) -> tuple[str, ...]:
    open_shards = rollout.open_shards
    reported = [book.progress for book in open_shards if book.progress]
    if not reported and len(open_shards) == 1 and rollout.in_flight <= NAMED:  # it begins with its first members
        return tuple(member.name for member in open_shards[0].members[: rollout.in_flight])
    return tuple(name for progress in reported for name in progress.in_flight)[:NAMED]


def _fault(rollout: RolloutState) -> Fault | None:
    """A fault on our side that holds one of the shards."""
    return next(
        (book.progress.blocked for book in rollout.open_shards if book.progress and book.progress.blocked), None
    )


def _progress(state: DeploymentState) -> Progress:
    request, queue, rollout = state.request_if_valid, state.queue, state.rollout
    overview = _overview(state)
    return Progress(
        phase=state.phase,
        total=len(rollout.members),
        slots=rollout.slots,
        slots_in_use=slots_in_use(
            rollout.slots, rollout.in_flight, rollout.failed, tolerates_failures=state.is_rollback
        ),
        in_flight=_in_flight_names(rollout),
        in_flight_count=rollout.in_flight,
        waiting=overview.pending if overview else 0,
        minimum_healthy=rollout.floor,
        paused=_pause_word(state),
        stopping=state.stop is not None and not state.status.is_final,
        behind=queue.ahead,
        behind_by=queue.ahead_by if queue.ahead else "",
        requested_by=request.requested_by if request else "",
        requested_from=request.requested_from if request else "",
        application_id=state.facts.application_id if state.facts else "",
        group_id=state.facts.group.deployment_group_id if state.facts else "",
        blocked=_fault(rollout),
        zone=rollout.zone,
        shards=tuple(names.shard_workflow_id(state.deployment_id, book.index) for book in rollout.open_shards),
        not_restored=state.not_restored,
        touched=len(rollout.touched),
        is_whole=state.is_whole,
        failures=_failures(rollout),
        warnings=tuple(state.warnings[:NAMED]),
        report=state.report,
        rollback=state.rollback.end if state.rollback else None,
        selects=described(state.group) if state.facts and not rollout.members else "",
    )


def _info(state: DeploymentState) -> DeploymentInfo:
    info = DeploymentInfo(
        deployment_id=state.deployment_id,
        status=state.status,
        create_time=state.created.isoformat(),
        start_time=state.started.isoformat() if state.started else "",
        complete_time=state.completed.isoformat() if state.completed else "",
        deployment_config_name=state.config.deployment_config_name if state.facts else "",
        deployment_overview=_overview(state),
        error_information=_error(state),
        rollback_info=_rollback_info(state),
        revision=state.revision.location if state.revision else None,
        previous_revision=location_of_label(state.rollout.fleet.previous_revision),
    )
    return with_request(info, state.request_if_valid, state.facts.group if state.facts else None)


def _rollback_info(state: DeploymentState) -> RollbackInfo:
    return RollbackInfo(
        rollback_deployment_id=state.rollback.deployment_id if state.rollback else "",
        rollback_message=state.rollback_message,
    )


def _error(state: DeploymentState) -> ErrorInformation | None:
    ending = state.ending
    return ErrorInformation(code=ending.code, message=ending.message) if ending and ending.code else None
