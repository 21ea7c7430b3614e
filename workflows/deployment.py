"""Deployment: the story of one deployment, from the request to the record.

Each step is a file of `workflows/phases`; the stages of a rollout are `workflows/stage.py`, its work on hosts
`workflows/shard.py`. Decisions are made in `towline/model`. What happened so far is one `DeploymentState`.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.phases.check import check, parse_request
from workflows.phases.plan import plan
from workflows.phases.queue import wait_for_turn
from workflows.phases.record import leave_queue, record_outcomes, write_report
from workflows.phases.roll_back import roll_back
from workflows.phases.roll_out import roll_out
from workflows.publish import publish
from workflows.temporal_helpers import parse_signal, shield_from_cancel
from workflows.waits import Ended

with workflow.unsafe.imports_passed_through():
    from towline.errors import InvalidRequest
    from towline.model import names
    from towline.model.deployment.describe_end import end_message
    from towline.model.deployment.ending import ending_of
    from towline.model.deployment.request import read_shape
    from towline.model.deployment.rollback import needs_rollback
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.state_view import pause_answer, stop_answer, view_of
    from towline.model.deployment.status import DeploymentStatus
    from towline.model.messages.deploy import PauseAnswer, StopAnswer, StopRequest
    from towline.model.messages.shard import ShardProgress
    from towline.model.messages.view import DeploymentView


@workflow.defn(name=names.DEPLOYMENT)
class DeploymentWorkflow:
    """Rolls one revision out over one deployment group; its id is the deployment id."""

    @workflow.init
    def __init__(self, raw: Any = None, *more: Any) -> None:
        """Takes plain JSON, nothing, or more: a wrong input ends the deployment by name, not in a failing task."""
        info = workflow.info()
        self._raw = raw if not more else [raw, *more]
        self._state = DeploymentState(info.workflow_id, info.first_execution_run_id, created=info.start_time)

    @workflow.run
    async def run(self, raw: Any = None, *more: Any) -> DeploymentView:
        """Returns the view of a deployment that succeeded; raises `DeploymentFailed` or `DeploymentStopped` with it."""
        return await shield_from_cancel(self._story(), self._stop_by_cancel)

    async def _story(self) -> DeploymentView:
        state = self._state
        await self._deploy(state)
        await record_outcomes(state)
        if needs_rollback(state):
            await roll_back(state)
            await write_report(state)
        await leave_queue(state)
        # The answer to an update that is being handled would be lost.
        await workflow.wait_condition(workflow.all_handlers_finished)
        return _result(state)

    async def _deploy(self, state: DeploymentState) -> None:
        try:
            parse_request(state, self._raw)
            await check(state)
            await wait_for_turn(state)
            await plan(state)
            await roll_out(state)
            ending = ending_of(state.rollout_result, state.stop, is_rollback=state.is_rollback)
        except Ended as ended:
            ending = ended.ending
        state.conclude(ending, workflow.now())
        publish(state)

    # ── messages: they take any argument, since one that cannot be read would fail every task from then on ────────

    @workflow.query
    def status(self) -> DeploymentView:
        """The deployment as it stands."""
        return view_of(self._state)

    @workflow.signal(name=names.TURN)
    def take_turn(self, granted: Any = None, *_: Any) -> None:
        """The group grants the turn, or has news for those that wait: they ask again."""
        self._state.queue.signalled(granted=granted is True)

    @workflow.signal(name=names.SHARD_PROGRESS)
    def take_shard_progress(self, raw: Any = None, *_: Any) -> None:
        """A shard reports."""
        if progress := parse_signal(ShardProgress, raw):
            self._state.take_progress(progress)

    @workflow.signal(name=names.PAUSE)
    def pause_signal(self, *_: Any) -> None:
        """Nothing new starts; those in flight finish."""
        self._state.pause()
        publish(self._state)

    @workflow.update(name=names.PAUSE)
    def pause(self, *_: Any) -> PauseAnswer:
        """As the signal, and answers whether something is still in flight."""
        self.pause_signal()
        return pause_answer(self._state)

    @workflow.signal(name=names.RESUME)
    def resume_signal(self, *_: Any) -> None:
        """Goes on after a pause. A queue that an incomplete rollback holds goes on by the group's `release` alone."""
        self._state.resume()
        publish(self._state)

    @workflow.update(name=names.RESUME)
    def resume(self, *_: Any) -> PauseAnswer:
        """As the signal, and answers."""
        self.resume_signal()
        return pause_answer(self._state)

    @workflow.signal(name=names.CANCEL)
    def cancel_signal(self, raw: Any = None, *_: Any) -> None:
        """Stops; what cannot be read as a StopRequest stops too, in the plain way: a stop always works."""
        try:
            self._stop(read_shape(StopRequest, raw or {}))
        except InvalidRequest as error:
            self._state.warnings.append(error.message)
            self._stop(StopRequest())

    @workflow.update(name=names.CANCEL)
    def cancel(self, raw: Any = None, *_: Any) -> StopAnswer:
        """Stops; answers `Pending` until every shard has confirmed that it starts nothing more."""
        self._stop(read_shape(StopRequest, raw or {}))
        return stop_answer(self._state)

    @pause.validator
    def _may_pause(self, *_: Any) -> None:
        if self._state.stop:
            raise ApplicationError("the deployment is being stopped already", type="Stopping")
        if self._state.status.is_final:
            raise ApplicationError(f"the deployment has ended: {self._state.status}", type="AlreadyEnded")

    @cancel.validator
    def _may_stop(self, raw: Any = None, *_: Any) -> None:
        try:
            read_shape(StopRequest, raw or {})
        except InvalidRequest as error:
            raise ApplicationError(error.message, type=error.code) from None

    def _stop(self, request: StopRequest) -> None:
        self._state.ask_to_stop(request)
        publish(self._state)

    def _stop_by_cancel(self) -> None:
        self._stop(StopRequest(reason="cancelled in Temporal"))


def _result(state: DeploymentState) -> DeploymentView:
    """The final view of a success; of anything else Temporal shows it as the failure that this raises."""
    view = view_of(state)
    if state.status is DeploymentStatus.SUCCEEDED:
        return view
    kind = "DeploymentStopped" if state.status is DeploymentStatus.STOPPED else "DeploymentFailed"
    raise ApplicationError(end_message(view), view, type=kind, non_retryable=True)
