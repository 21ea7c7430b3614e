"""The ledger of one deployment: what was read, decided and heard, and how it is shown.

The Deployment workflow writes into it; the query, the Web UI's summary, the search attributes and the record are
renderings of it. It decides nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.bundle.revision import ResolvedRevision, shortened
    from towline.model.deployment.describe import held_text, why
    from towline.model.deployment.describe_end import end_message
    from towline.model.deployment.status import Creator, DeploymentStatus, Outcome, Phase
    from towline.model.deployment.view import deployment_info, rollback_messages
    from towline.model.deployment.web_ui import summary
    from towline.model.fleet.selection import described
    from towline.model.messages import (
        DeploymentRecord,
        DeploymentView,
        DeployRequest,
        Fleet,
        GroupFacts,
        InstanceOutcome,
        PauseAnswer,
        Progress,
        RollbackEnd,
        ShardOutcome,
        StopRequest,
        TurnAnswer,
    )
    from towline.model.rollout.leases import Rollout, ShardBook, slots_in_use
    from towline.model.rollout.window import FAILURES
    from towline.model.rollout.zones import Stage

NAMED = 10


class Ledger:
    """One deployment's state as people see it."""

    def __init__(self, deployment_id: str, run_id: str) -> None:
        """Opens an empty ledger at the workflow's start."""
        self.deployment_id = deployment_id
        self.run_id = run_id
        self.status = DeploymentStatus.CREATED
        self.phase = Phase.CHECK
        self.request: DeployRequest | None = None
        self.group: GroupFacts | None = None
        self.revision: ResolvedRevision | None = None
        self.fleet = Fleet()
        self.floor = 0
        self.slots = 0
        self.behind: tuple[str, ...] = ()
        self.behind_by = ""
        self.held = ""
        self.report = ""
        self.owed: tuple[str, ...] = ()
        self.is_whole = False  # a compensation has taken everything back
        self.seconds_left = 0.0
        self._ticked = workflow.time()
        self._books: list[ShardBook] = []
        self._stage = ""
        self._paused = False
        self._stop: StopRequest | None = None
        self._error = ("", "")
        self._child = ""
        self._rollback_message = ""
        self._rollback: RollbackEnd | None = None
        self._warnings: list[str] = []
        self._created = workflow.info().start_time
        self._started: datetime | None = None
        self._completed: datetime | None = None

    # ── what is written into it ──────────────────────────────────────────────────────────────────────────────────

    def take_request(self, request: DeployRequest) -> None:
        """The request was read."""
        self.request = request
        pairs = [
            (names.SEARCH_APPLICATION, request.application_name),
            (names.SEARCH_GROUP, request.deployment_group_name),
        ]
        if request.undo:
            _, self._rollback_message = rollback_messages(request.undo.deployment_id, self.deployment_id)
            pairs.append((names.SEARCH_REVISION, names.rollback_label(request.undo.deployment_id)))
        self._upsert(*pairs)
        self.publish()

    def take_group(self, facts: GroupFacts) -> None:
        """The group was read."""
        self.group = facts
        self.seconds_left = float(facts.group.timeout_seconds)

    def take_revision(self, revision: ResolvedRevision) -> None:
        """The revision was read."""
        self.revision = revision
        self._warnings += revision.warnings
        self._upsert((names.SEARCH_REVISION, shortened(revision.label)))

    def take_fleet(self, fleet: Fleet, floor: int) -> None:
        """The instances are frozen."""
        self.fleet = fleet
        self.floor = floor
        self.slots = len(fleet.members) - floor
        self._warnings += fleet.warnings
        self._started = workflow.now()
        self._ticked = workflow.time()

    def enter(self, phase: Phase, status: DeploymentStatus) -> None:
        """A new phase of the story begins."""
        self.phase = phase
        self._set_status(status)
        self.publish()

    def wait_behind(self, answer: TurnAnswer) -> None:
        """The group has told who is ahead."""
        self.behind, self.behind_by, self.held = answer.ahead, answer.ahead_by, answer.held
        self.publish()

    def open_stage(self, stage: Stage, rollout: Rollout) -> None:
        """A stage begins; its books tell the counts from now on."""
        self._stage = stage.zone
        self._books += rollout.shards.values()

    def steer(self, *, paused: bool, stop: StopRequest | None) -> None:
        """Somebody paused, resumed or stopped."""
        self._paused, self._stop = paused, stop
        self.publish()

    def warn(self, text: str) -> None:
        """Something that people should know, and that stops nothing."""
        self._warnings.append(text)

    def tick(self, *, counts: bool) -> None:
        """Time has passed; `counts` False: paused or queued, which does not run against the deployment's limit."""
        now = workflow.time()
        if counts:
            self.seconds_left -= now - self._ticked
        self._ticked = now

    def conclude(self, status: DeploymentStatus, code: str = "", message: str = "") -> None:
        """The verdict."""
        self._error = (str(code), message)
        self._completed = workflow.now()
        if self.request and self.request.undo:
            self.owed = tuple(name for name in self._names if name not in self._succeeded_names)
        self.phase = Phase.RECORD
        self._set_status(status)
        self.publish()

    def rolls_back_by(self, child: str, message: str) -> None:
        """A compensation begins."""
        self._child, self._rollback_message = child, message
        self.publish()

    def take_rollback(self, view: DeploymentView) -> None:
        """The rollback has brought every instance back."""
        self.is_whole = True
        self._rollback = self._end_of_rollback(view)
        self.publish()

    def take_owed(self, error: ChildWorkflowError) -> None:
        """A compensation did not bring everything back: its view tells what is owed."""
        told = error.cause.details[0] if isinstance(error.cause, ApplicationError) and error.cause.details else None
        if told:
            view = DeploymentView.model_validate(told)
            self.owed = view.progress.owed
            self._rollback = self._end_of_rollback(view)
        else:  # it was ended from outside and could not tell
            self.owed = self.touched
            self._rollback = RollbackEnd(deployment_id=self._child, status=DeploymentStatus.STOPPED)
        self.publish()

    def _end_of_rollback(self, view: DeploymentView) -> RollbackEnd:
        info = view.info
        return RollbackEnd(
            deployment_id=self._child,
            status=DeploymentStatus(info.get("status", DeploymentStatus.FAILED)),
            complete_time=info.get("completeTime", ""),
            succeeded=(info.get("deploymentOverview") or {}).get("Succeeded", 0),
            total=view.progress.total,
        )

    # ── what it tells ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def outcomes(self) -> list[ShardOutcome]:
        """The outcomes of shards, those that were never begun included."""
        return [book.outcome for book in self._books if book.outcome]

    @property
    def touched(self) -> tuple[str, ...]:
        """The instances on which a runner began."""
        return tuple(name for outcome in self.outcomes for name in outcome.touched)

    @property
    def failed_names(self) -> tuple[str, ...]:
        """The instances that ended out of service."""
        return tuple(name for kind, names_ in self.results.items() if kind in FAILURES for name in names_)

    @property
    def results(self) -> dict[Outcome, tuple[str, ...]]:
        """All names by outcome."""
        merged: dict[Outcome, tuple[str, ...]] = {}
        for outcome in self.outcomes:
            for kind, names_ in outcome.results.items():
                merged[kind] = (*merged.get(kind, ()), *names_)
        return merged

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""
        return len(self.results.get(outcome, ()))

    @property
    def next_shard(self) -> int:
        """The number of the next shard."""
        return len(self._books) + 1

    @property
    def slots_left(self) -> int:
        """The fleet's slots that failures of earlier stages did not eat."""
        return self.slots - len(self.failed_names)

    @property
    def spare_healthy(self) -> int:
        """Healthy instances of the whole fleet now, less the floor."""
        was_healthy = {member.name for member in self.fleet.members if member.is_healthy}
        lost = sum(name in was_healthy for name in self.failed_names)
        gained = sum(name not in was_healthy for name in self._succeeded_names)
        return len(was_healthy) - lost + gained - self.floor

    @property
    def text(self) -> str:
        """Why it is where it is."""
        return self.view().progress.text

    def pause_answer(self) -> PauseAnswer:
        """What `pause` and `resume` answer."""
        word = {"": "Running", "pausing": "Pausing", "paused": "Paused"}[self._pause_word]
        return PauseAnswer.model_validate({"status": word, "statusMessage": self.text})

    def view(self) -> DeploymentView:
        """What the query answers."""
        progress = self._progress()
        if self.held:
            info = self._info()
            told = held_text(self.held, info.get("applicationName", "APP"), info.get("deploymentGroupName", "GROUP"))
            text = f"waits: the queue is held: {told}"
        else:
            text = why(progress)
        return DeploymentView(info=self._info(), progress=progress.model_copy(update={"text": text}))

    def record(self) -> DeploymentRecord:
        """What the report is made of, besides the instances' own records."""
        view = self.view()
        return DeploymentRecord(
            info=view.info,
            progress=view.progress.model_copy(update={"phase": Phase.ENDED}),
            run_id=self.run_id,
            members=tuple(self._names),
            results=self._results_after_rollback(),
        )

    def _results_after_rollback(self) -> dict[Outcome, tuple[str, ...]]:
        """How each instance stands at the end: of one that a compensation was for, what became of it."""
        if not (self.is_whole or self.owed) or (self.request and self.request.undo):
            return self.results
        touched, owed = set(self.touched), set(self.owed)
        kept = {
            outcome: tuple(name for name in every if name not in touched) for outcome, every in self.results.items()
        }
        back = tuple(name for name in self.touched if name not in owed)
        after = {**kept, Outcome.ROLLED_BACK: back, Outcome.OWED: self.owed}
        return {outcome: every for outcome, every in after.items() if every}

    def end_message(self) -> str:
        """How it ended, in words."""
        return end_message(self.view())

    def publish(self) -> None:
        """Shows the state in Temporal's Web UI."""
        workflow.set_current_details(summary(self.view()))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _names(self) -> list[str]:
        return [member.name for member in self.fleet.members]

    @property
    def _succeeded_names(self) -> frozenset[str]:
        return frozenset(self.results.get(Outcome.SUCCEEDED, ()))

    @property
    def _in_flight(self) -> int:
        return sum(book.in_flight for book in self._books)

    @property
    def _pause_word(self) -> Any:
        if not self._paused:
            return ""
        return "pausing" if self._in_flight else "paused"

    def _overview(self) -> dict[str, int] | None:
        total = len(self.fleet.members)
        if not total:
            return None
        succeeded = sum(book.succeeded for book in self._books)
        failed = sum(book.failed() for book in self._books)
        pending = total - succeeded - failed - self._in_flight
        where = "Skipped" if self.status.is_final else "Pending"
        return {"Succeeded": succeeded, "Failed": failed, "InProgress": self._in_flight, where: pending}

    def _failures(self) -> tuple[InstanceOutcome, ...]:
        told = [book.outcome or book.progress for book in self._books]
        return tuple(failure for one in told if one for failure in one.failures)[:NAMED]

    def _progress(self) -> Progress:
        open_books = [book for book in self._books if book.has_begun and book.outcome is None]
        heard = [book.progress for book in open_books if book.progress]
        failed = sum(book.failed() for book in self._books)
        overview = self._overview() or {}
        flying = tuple(name for progress in heard for name in progress.in_flight)[:NAMED]
        if not heard and len(open_books) == 1 and self._in_flight <= NAMED:
            flying = tuple(member.name for member in open_books[0].members[: self._in_flight])
        return Progress(
            phase=self.phase,
            total=len(self.fleet.members),
            slots=self.slots,
            slots_in_use=slots_in_use(
                self.slots, self._in_flight, failed, tolerates_failures=bool(self.request and self.request.undo)
            ),
            in_flight=flying,
            in_flight_count=self._in_flight,
            waiting=overview.get("Pending", 0),
            minimum_healthy=self.floor,
            paused=self._pause_word,
            stopping=self._stop is not None and not self.status.is_final,
            behind=self.behind,
            behind_by=self.behind_by if self.behind else "",
            requested_by=self.request.requested_by if self.request else "",
            requested_from=self.request.requested_from if self.request else "",
            blocked=next((progress.blocked for progress in heard if progress.blocked), None),
            zone=self._stage,
            shards=tuple(names.shard_workflow_id(self.deployment_id, book.index) for book in open_books),
            owed=self.owed,
            touched=len(self.touched),
            is_whole=self._is_whole,
            failures=self._failures(),
            warnings=tuple(self._warnings[:NAMED]),
            report=self.report,
            rollback=self._rollback,
            selects=described(self.group.group) if self.group and not self.fleet.members else "",
        )

    @property
    def _is_whole(self) -> bool:
        if self.request and self.request.undo:
            return not self.owed
        return self.is_whole or self.status is DeploymentStatus.SUCCEEDED or not self.touched

    def _info(self) -> dict[str, Any]:
        undo = self.request.undo if self.request else None
        rollback = self.request.auto_rollback_configuration if self.request else None
        if rollback is None and self.group:
            rollback = self.group.group.auto_rollback_configuration
        return deployment_info(
            self.request,
            deployment_id=self.deployment_id,
            status=self.status,
            create_time=self._created.isoformat(),
            start_time=self._started.isoformat() if self._started else "",
            complete_time=self._completed.isoformat() if self._completed else "",
            config_name=self.group.config.deployment_config_name if self.group else "",
            creator=Creator.ROLLBACK if undo else Creator.USER,
            overview=self._overview(),
            error_code=self._error[0],
            error_message=self._error[1],
            rollback_deployment_id=self._child,
            rollback_message=self._rollback_message,
            triggering_deployment_id=undo.deployment_id if undo else "",
            revision=self.revision.location if self.revision else None,
            previous_revision=self.fleet.previous_revision,
            auto_rollback=rollback.model_dump(mode="json", by_alias=True) if rollback else None,
        )

    def _set_status(self, status: DeploymentStatus) -> None:
        if status is not self.status or self.phase is Phase.CHECK:
            self._upsert((names.SEARCH_STATUS, status.value), *self._revision_asked_for(status))
        self.status = status

    def _revision_asked_for(self, status: DeploymentStatus) -> list[tuple[str, str]]:
        """At the end, of a revision that could not be used. One asked for in no group of ours has none in lists."""
        is_unread = status.is_final and self.group is not None and self.revision is None
        location = self.request.revision if self.request and is_unread else None
        return [(names.SEARCH_REVISION, shortened(location.label))] if location else []

    @staticmethod
    def _upsert(*pairs: tuple[str, str]) -> None:
        workflow.upsert_search_attributes(
            [SearchAttributeKey.for_keyword(name).value_set(value) for name, value in pairs]
        )
