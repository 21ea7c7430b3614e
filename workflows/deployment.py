"""Deployment: the story of one deployment, from the request to the record.

check → turn → plan → roll out → compensate → record. Deciding is elsewhere (`towline/model`), work on hosts is the
shards' (`workflows/shard.py`), the fan-out over shards is `workflows/stage.py`. What happened so far, and how it is
shown, is `workflows/state.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

from workflows.options import READ, RECORD, TURN
from workflows.stage import StageRun
from workflows.state import Ledger
from workflows.temporal_helpers import call, parse_signal, shield_from_cancel

with workflow.unsafe.imports_passed_through():
    from towline.errors import InvalidRequest
    from towline.model import names
    from towline.model.bundle.revision import ResolvedRevision, RevisionLocation, shortened
    from towline.model.deployment.activity_inputs import fleet_question, group_question, order_of, revision_question
    from towline.model.deployment.request import read_request, read_shape
    from towline.model.deployment.status import DeploymentStatus, ErrorCode, Outcome, Phase, deployment_error
    from towline.model.deployment.view import HEALTH_CONSTRAINTS_MESSAGE, rollback_messages
    from towline.model.group.group import DeploymentGroup
    from towline.model.group.queue import as_undone
    from towline.model.messages import (
        DeploymentView,
        DeployRequest,
        OutcomePage,
        PauseAnswer,
        ShardOutcome,
        ShardProgress,
        StopAnswer,
        StopRequest,
        TurnEnd,
        TurnRequest,
        Undo,
    )
    from towline.model.rollout.health import floor_of, has_succeeded, is_impossible
    from towline.model.rollout.zones import Stage, stages
    from workflows import calls

Answer = TypeVar("Answer")

ASK_AGAIN = timedelta(seconds=60)
"""How often a deployment that waits asks for its turn, in case the signal that grants it was lost."""


class Ended(Exception):
    """The deployment ends here, before or instead of rolling out."""

    def __init__(self, status: DeploymentStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@workflow.defn(name=names.DEPLOYMENT)
class Deployment:
    """Rolls one revision out over one deployment group; its id is the deployment id."""

    @workflow.init
    def __init__(self, raw: Any = None, *more: Any) -> None:
        """Takes plain JSON, nothing, or more: a wrong input ends the deployment by name, not in a failing task."""
        self._raw = raw if not more else [raw, *more]
        self._ledger = Ledger(workflow.info().workflow_id, workflow.info().first_execution_run_id)
        self._stop: StopRequest | None = None
        self._paused = False
        self._turn_is_ours = False
        self._turn_has_news = False
        self._stage: StageRun | None = None
        self._child = ""  # the compensation that runs

    # ── the story ────────────────────────────────────────────────────────────────────────────────────────────────

    @workflow.run
    async def run(self, raw: Any = None, *more: Any) -> DeploymentView:
        """Returns the view of a deployment that succeeded; raises `DeploymentFailed` or `DeploymentStopped` with it."""
        return await shield_from_cancel(self._story(), self._stop_by_cancel)

    async def _story(self) -> DeploymentView:
        try:
            self._read()
            await self._check()
            await self._take_turn()
            await self._plan()
            await self._roll_out()
            self._judge()
        except Ended as end:
            self._ledger.conclude(end.status, end.code, end.message)
        await self._remember()
        if self._calls_for_rollback():
            await self._compensate()
        return await self._close()

    def _read(self) -> None:
        try:
            self._request = read_request(self._raw, self._ledger.deployment_id)
        except InvalidRequest as error:
            raise Ended(DeploymentStatus.FAILED, ErrorCode.INVALID_REQUEST, error.message) from None
        self._ledger.take_request(self._request)

    async def _check(self) -> None:
        """Everything that can be wrong is found before the turn is taken and before a host is touched."""
        request, location = self._request, self._request.revision
        early: asyncio.Task[ResolvedRevision] | None = None
        if location and not location.git_hub_location:  # which is read by a token and an address of the group's
            early = asyncio.create_task(self._read_revision(location))
        try:
            facts = await self._attempt(call(calls.read_group, group_question(request), READ))
        except Ended:
            if early:
                early.cancel()
                await asyncio.gather(early, return_exceptions=True)
            raise
        self._group, self._config = facts.group, facts.config
        self._ledger.take_group(facts)
        self._revision = None
        if location:
            self._revision = await (early or self._read_revision(location, facts.group))
            self._ledger.take_revision(self._revision)

    async def _read_revision(
        self, location: RevisionLocation, group: DeploymentGroup | None = None
    ) -> ResolvedRevision:
        question = revision_question(location, self._ledger.deployment_id, group, strict=self._request.strict)
        read = call(calls.read_revision, question, READ, summary=shortened(location.label))
        return await self._attempt(read, of_revision=True)

    async def _take_turn(self) -> None:
        """Waits for the group's turn; whoever waits is told behind whom."""
        self._ledger.enter(Phase.TURN, DeploymentStatus.QUEUED)
        while not self._turn_is_ours:
            answer = await self._attempt(call(calls.join_turn, self._turn_request(), TURN))
            if answer.refused:
                raise Ended(DeploymentStatus.FAILED, ErrorCode.DEPLOYMENT_LIMIT, answer.refused)
            self._turn_is_ours = self._turn_is_ours or answer.granted
            self._ledger.wait_behind(answer)
            self._turn_has_news = False
            if not self._turn_is_ours:
                await self._gate(lambda: self._turn_is_ours or self._turn_has_news, timeout=ASK_AGAIN)
        self._ledger.behind = ()

    async def _plan(self) -> None:
        """Freezes the instances, their state and their order."""
        self._ledger.enter(Phase.PLAN, DeploymentStatus.IN_PROGRESS)
        request = self._request
        ids = {"deployment_id": self._ledger.deployment_id, "run_id": self._ledger.run_id}
        order = order_of(request, self._group, self._revision, **ids)
        question = fleet_question(request, self._group, order)
        fleet = await self._attempt(call(calls.read_fleet, question, READ))
        hosts = len(fleet.members)
        rule = self._config.minimum_healthy_hosts
        self._ledger.take_fleet(fleet, floor_of(rule, hosts))
        if hosts == 0:
            raise Ended(DeploymentStatus.FAILED, ErrorCode.NO_INSTANCES, _NO_INSTANCES)
        if not request.undo and is_impossible(rule, hosts):
            message = f"{rule.type} {rule.value} of {hosts} leaves no instance that may be taken out of service"
            raise Ended(DeploymentStatus.FAILED, ErrorCode.HEALTH_CONSTRAINTS_INVALID, message)
        if request.undo:  # as many at once as the other one had: a second outage is not a rollback
            self._ledger.slots = min(hosts, request.undo.slots or max(1, self._ledger.slots))

    async def _roll_out(self) -> None:
        """One stage after the other (a zone each, or one for all), as long as nothing ends it."""
        self._ledger.enter(Phase.ROLL_OUT, DeploymentStatus.IN_PROGRESS)
        is_undo = self._request.undo is not None
        for stage in stages(self._config, self._ledger.fleet.members, use_zones=not is_undo):
            await self._gate(lambda: not self._paused)
            self._ledger.tick(counts=False)  # a pause does not run against the deployment's limit
            await self._run_stage(stage)
            if self._stage is None or self._stage.is_lost or self._stage.is_out_of_time or self._stop:
                return
            await self._monitor(stage)
            self._ledger.tick(counts=True)

    async def _run_stage(self, stage: Stage) -> None:
        self._stage = StageRun(stage, self._ledger, tolerates_failures=self._request.undo is not None)
        self._stage.steer(paused=self._paused, stop=self._stop)
        await self._stage.run()

    async def _monitor(self, stage: Stage) -> None:
        if stage.monitor_seconds:
            self._ledger.enter(Phase.ROLL_OUT, DeploymentStatus.BAKING)
            await self._gate(lambda: False, timeout=timedelta(seconds=stage.monitor_seconds))
            self._ledger.enter(Phase.ROLL_OUT, DeploymentStatus.IN_PROGRESS)

    def _judge(self) -> None:
        """What the deployment has come to, by the end rule."""
        ledger = self._ledger
        stage = self._stage
        if self._stop:
            raise self._stopped()
        if stage and stage.is_out_of_time:
            message = f"the deployment took longer than its {self._group.timeout_seconds} s"
            raise Ended(DeploymentStatus.FAILED, ErrorCode.TIMEOUT, message)
        if self._request.undo:
            is_done = ledger.count(Outcome.SUCCEEDED) == len(ledger.fleet.members)
        else:
            is_done = has_succeeded(ledger.floor, ledger.count(Outcome.SUCCEEDED)) and not (stage and stage.is_lost)
        if not is_done:
            raise Ended(DeploymentStatus.FAILED, ErrorCode.HEALTH_CONSTRAINTS, HEALTH_CONSTRAINTS_MESSAGE)
        ledger.conclude(DeploymentStatus.SUCCEEDED)

    async def _remember(self) -> None:
        """Tells the group how the instances ended, shard by shard, and writes the report."""
        await asyncio.gather(self._tell_the_group(), self._record())

    async def _tell_the_group(self) -> None:
        for outcome in self._ledger.outcomes:  # no message grows with the fleet
            await call(calls.record_outcomes, self._outcome_page(outcome), TURN)

    # ── compensation ─────────────────────────────────────────────────────────────────────────────────────────────

    def _calls_for_rollback(self) -> bool:
        ledger = self._ledger
        if ledger.status is DeploymentStatus.SUCCEEDED or not ledger.touched or self._request.undo:
            return False
        rollback = self._request.auto_rollback_configuration or self._group.auto_rollback_configuration
        events = rollback.events if rollback.enabled else ()
        if self._stop:
            if self._stop.rollback is not None:
                return self._stop.rollback
            return "DEPLOYMENT_STOP_ON_REQUEST" in events
        return "DEPLOYMENT_FAILURE" in events

    async def _compensate(self) -> None:
        """Takes the touched instances back by a deployment of its own, and waits until the fleet is at rest."""
        ledger = self._ledger
        ledger.enter(Phase.COMPENSATE, ledger.status)
        self._child = _new_deployment_id()
        undo = Undo(
            deployment_id=ledger.deployment_id,
            run_id=ledger.run_id,
            instances=tuple(ledger.touched),
            failed=tuple(name for name in ledger.touched if name in set(ledger.failed_names)),
            slots=ledger.slots,
        )
        ours, _ = rollback_messages(ledger.deployment_id, self._child)
        ledger.rolls_back_by(self._child, ours)
        request = DeployRequest(
            application_name=self._group.application_name,
            deployment_group_name=self._group.deployment_group_name,
            deployment_config_name=self._config.deployment_config_name,
            description=names.rollback_label(ledger.deployment_id).capitalize(),
            undo=undo,
        )
        try:
            view: DeploymentView = await workflow.execute_child_workflow(
                names.DEPLOYMENT,
                request.model_dump(mode="json", by_alias=True, exclude_none=True),
                id=self._child,
                # Whatever becomes of this workflow, the fleet is taken back.
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                task_timeout=names.TASK_TIMEOUT,
                result_type=DeploymentView,
                static_summary=names.rollback_label(ledger.deployment_id),
            )
            ledger.take_rollback(view)
        except ChildWorkflowError as error:
            ledger.take_owed(error)
        await self._record()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _record(self) -> None:
        """Writes the report. Without a store for an hour the deployment ends without it, and says so."""
        if not self._ledger.request:
            return
        phase = self._ledger.phase
        self._ledger.enter(Phase.RECORD, self._ledger.status)
        try:
            written = await call(calls.write_report, self._ledger.record(), RECORD)
            self._ledger.report = written.address or written.key
        except ActivityError as error:
            self._ledger.warn(f"the report could not be written: {error.cause}")
        self._ledger.phase = phase

    async def _close(self) -> DeploymentView:
        """Gives the turn back and ends: by returning, or by raising what Temporal is to show as the failure."""
        ledger = self._ledger
        if ledger.group:
            end = TurnEnd(
                application=self._group.application_name,
                group=self._group.deployment_group_name,
                group_id=self._group.deployment_group_id,
                deployment_id=ledger.deployment_id,
                status=ledger.status,
                revision=self._revision.label if self._revision else "",
                sha256=self._revision.sha256 if self._revision else "",
                is_undo=self._request.undo is not None,
                owed=tuple(ledger.owed) if self._request.undo else (),
            )
            await call(calls.leave_turn, end, TURN)
        ledger.enter(Phase.ENDED, ledger.status)
        # A person's update that is being answered would lose its answer.
        await workflow.wait_condition(workflow.all_handlers_finished)
        view = ledger.view()
        if ledger.status is DeploymentStatus.SUCCEEDED:
            return view
        kind = "DeploymentStopped" if ledger.status is DeploymentStatus.STOPPED else "DeploymentFailed"
        raise ApplicationError(ledger.end_message(), view, type=kind, non_retryable=True)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _gate(self, condition: Any, timeout: timedelta | None = None) -> None:
        """The only place that waits for people: until the condition holds, or some time has passed; a stop ends it."""
        try:
            await workflow.wait_condition(lambda: bool(condition()) or self._stop is not None, timeout=timeout)
        except TimeoutError:
            return
        if self._stop:
            raise self._stopped()

    async def _attempt(self, errand: Coroutine[Any, Any, Answer], *, of_revision: bool = False) -> Answer:
        """Runs an activity of the time before the rollout: a stop ends the wait, an error ends the deployment."""
        task = asyncio.ensure_future(errand)
        await workflow.wait_condition(lambda: task.done() or self._stop is not None)
        if not task.done():
            task.cancel()
            raise self._stopped()
        try:
            return task.result()
        except ActivityError as error:
            cause = error.cause
            kind = cause.type if isinstance(cause, ApplicationError) and cause.type else ""
            message = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
            code = deployment_error(kind, of_revision=of_revision)
            raise Ended(DeploymentStatus.FAILED, code, message) from error

    def _stopped(self) -> Ended:
        reason = self._stop.reason if self._stop and self._stop.reason else "the deployment was stopped"
        return Ended(DeploymentStatus.STOPPED, ErrorCode.MANUAL_STOP, reason)

    # ── messages: they take what comes, since a signal that cannot be taken fails every task from then on ──────────

    @workflow.query
    def status(self) -> DeploymentView:
        """The deployment as it stands."""
        return self._ledger.view()

    @workflow.signal(name=names.TURN)
    def take_turn(self, granted: Any = None, *_: Any) -> None:
        """The group grants the turn, or has news for those that wait: they ask again."""
        self._turn_is_ours = self._turn_is_ours or granted is True
        self._turn_has_news = True

    @workflow.signal(name=names.SHARD_PROGRESS)
    def hear_shard(self, raw: Any = None, *_: Any) -> None:
        """A shard reports."""
        progress = parse_signal(ShardProgress, raw)
        if self._stage and progress:
            self._stage.hear(progress)

    @workflow.signal(name=names.PAUSE)
    def pause_signal(self, *_: Any) -> None:
        """Nothing new starts; those in flight finish."""
        self._pause()

    @workflow.update(name=names.PAUSE)
    def pause(self, *_: Any) -> PauseAnswer:
        """As the signal, and answers whether something is still in flight."""
        self._pause()
        return self._ledger.pause_answer()

    @workflow.signal(name=names.RESUME)
    def resume_signal(self, *_: Any) -> None:
        """Goes on after a pause. A queue that is held for owed hosts stays so: that is the group's `release`."""
        self._resume()

    @workflow.update(name=names.RESUME)
    def resume(self, *_: Any) -> PauseAnswer:
        """As the signal, and answers."""
        self._resume()
        return self._ledger.pause_answer()

    @workflow.signal(name=names.CANCEL)
    def cancel_signal(self, raw: Any = None, *_: Any) -> None:
        """Stops; what cannot be read as a StopRequest stops too, in the plain way: a stop always works."""
        try:
            self._ask_to_stop(read_shape(StopRequest, raw or {}))
        except InvalidRequest as error:
            self._ledger.warn(error.message)
            self._ask_to_stop(StopRequest())

    @workflow.update(name=names.CANCEL)
    def cancel(self, raw: Any = None, *_: Any) -> StopAnswer:
        """Stops; answers `Pending` until every shard has confirmed that it starts nothing more."""
        self._ask_to_stop(read_shape(StopRequest, raw or {}))
        return self._stop_answer()

    @pause.validator
    def _may_pause(self, *_: Any) -> None:
        if self._stop:
            raise ApplicationError("the deployment is being stopped already", type="Stopping")
        if self._ledger.status.is_final:
            raise ApplicationError(f"the deployment has ended: {self._ledger.status}", type="AlreadyEnded")

    @cancel.validator
    def _may_stop(self, raw: Any = None, *_: Any) -> None:
        try:
            read_shape(StopRequest, raw or {})
        except InvalidRequest as error:
            raise ApplicationError(error.message, type=error.code) from None

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _pause(self) -> None:
        if not self._ledger.status.is_final:
            self._paused = True
            self._steer()

    def _resume(self) -> None:
        self._paused = False
        self._steer()

    def _stop_by_cancel(self) -> None:
        self._ask_to_stop(StopRequest(reason="cancelled in Temporal"))

    def _ask_to_stop(self, stop: StopRequest) -> None:
        """Sets the durable flag. Asked again, `now` and a word about the rollback may be added, never taken back."""
        if self._ledger.status.is_final:
            return
        if self._stop:
            stop = StopRequest(
                now=stop.now or self._stop.now,
                rollback=self._stop.rollback if stop.rollback is None else stop.rollback,
                reason=self._stop.reason or stop.reason,
            )
        self._stop = stop
        self._steer()

    def _steer(self) -> None:
        self._ledger.steer(paused=self._paused, stop=self._stop)
        if self._stage:
            self._stage.steer(paused=self._paused, stop=self._stop)

    def _stop_answer(self) -> StopAnswer:
        if self._child:
            message = f"a rollback is under way; it is stopped by: towline stop {self._child}"
            return StopAnswer(status="Pending", status_message=message, rollback_deployment_id=self._child)
        if self._stage is None or self._stage.has_stopped:
            message = "No more commands will be scheduled for execution in the deployment instances"
            return StopAnswer(status="Succeeded", status_message=message)
        return StopAnswer(status="Pending", status_message=self._ledger.text)

    def _turn_request(self) -> TurnRequest:
        return TurnRequest(
            application=self._group.application_name,
            group=self._group.deployment_group_name,
            group_id=self._group.deployment_group_id,
            deployment_id=self._ledger.deployment_id,
            run_id=self._ledger.run_id,
            if_busy=self._request.if_busy,
            handed_over_by=self._handed_over_by(),
            by=self._request.requested_by,
        )

    def _handed_over_by(self) -> str:
        """The deployment whose compensation this is. An undo that somebody else asks for takes nobody's turn over."""
        parent, undo = workflow.info().parent, self._request.undo
        return undo.deployment_id if undo and parent and parent.workflow_id == undo.deployment_id else ""

    def _outcome_page(self, outcome: ShardOutcome) -> OutcomePage:
        results = outcome.results
        if self._request.undo:
            results = as_undone(results)
        return OutcomePage(
            application=self._group.application_name,
            group=self._group.deployment_group_name,
            group_id=self._group.deployment_group_id,
            deployment_id=self._ledger.deployment_id,
            revision=self._revision.label if self._revision else "",
            sha256=self._revision.sha256 if self._revision else "",
            is_undo=self._request.undo is not None,
            results=results,
            now=outcome.now,
        )


_NO_INSTANCES = (
    "The deployment failed because no instances were found for your deployment group. Check your deployment group "
    "settings to make sure the tags for your Amazon EC2 instances or Auto Scaling groups correctly identify the "
    "instances you want to deploy to, and then try again."
)
"""CodeDeploy's own sentence: clients match on it."""


def _new_deployment_id() -> str:
    """CodeDeploy's form, `d-` and nine of A-Z and 0-9, from the workflow's own dice."""
    return "d-" + "".join(workflow.random().choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=9))
