"""What becomes of a run that is over (`state.py`): the instance's outcome, and its record for the store. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from towline.model.deployment.status import Outcome
from towline.model.host.events import Finished, HostRefusal, HostRevision
from towline.model.host.state import MESSAGE_CHARACTERS, HostState
from towline.model.messages.instance import Fault, Installed, InstanceOutcome, InstanceReport, LifecycleEventRecord

LOG_TAIL_BYTES = 4096

HALTED = "Stopped"
"""The code of the refusal of a runner that was halted before anything was begun."""

_OUTCOMES = {
    "succeeded": Outcome.SUCCEEDED,
    "failed": Outcome.FAILED,
    "interrupted": Outcome.INTERRUPTED,
    "stopped": Outcome.STOPPED,
}


def outcome_of(
    state: HostState, instance: str, mask: Callable[[str], str] = str, seconds: float = 0.0, expected: str = ""
) -> InstanceOutcome:
    """How an instance's part ended, of a state that is over.

    Args:
        state: with `finished` or `refused`.
        instance: its name.
        mask: hides secrets in what scripts printed.
        seconds: how long it took where the runner does not tell.
        expected: of an undo, the label of what the host ran before by the group's memory.
    """
    if state.finished is None:
        assert state.refused is not None, "not over yet"
        return _refused(state, instance, mask, seconds)
    end = state.finished
    outcome = _OUTCOMES.get(end.outcome, Outcome.FAILED)
    now = _installed(end)
    if outcome is Outcome.SUCCEEDED and end.undone and expected and now and not now.label:
        return _lost(instance, expected, now, end.offset or seconds)
    failed = outcome is not Outcome.SUCCEEDED
    return InstanceOutcome(
        instance=instance,
        outcome=outcome,
        was_touched=not end.nothing_to_do,
        failed_event=end.failed_event,
        error_code=end.error_code,
        script=end.script_name,
        message=mask(end.message)[:MESSAGE_CHARACTERS] if failed else "",
        log_tail=tail(mask(end.log)) if failed else "",
        seconds=end.offset or seconds,
        now=now if failed or end.undone else None,
    )


def _installed(end: Finished) -> Installed | None:
    """What the host says that it runs; None where it does not say."""
    if end.now is None or "succeeded" not in end.now.model_fields_set:
        return None
    there = end.now.succeeded or HostRevision()
    return Installed(label=there.label or there.deployment, sha256=there.sha256)


def _lost(instance: str, expected: str, now: Installed, seconds: float) -> InstanceOutcome:
    """An undo that found nothing to go back to where the group remembers a revision: the host is not as it was."""
    message = (
        f"this host had lost what it ran, {expected}: its disk was emptied or replaced. What the deployment had left "
        "there is removed, and nothing of this group is installed now"
    )
    hint = "Deploy the wanted revision to it: towline deploy APP GROUP --revision …"
    return InstanceOutcome(
        instance=instance,
        outcome=Outcome.FAILED,
        was_touched=True,
        message=message[:MESSAGE_CHARACTERS],
        fault=Fault(code="HostLostState", message=message[:MESSAGE_CHARACTERS], hint=hint),
        seconds=seconds,
        now=now,
    )


def _refused(state: HostState, instance: str, mask: Callable[[str], str], seconds: float) -> InstanceOutcome:
    """Of a runner that began nothing: the host's own fault."""
    refused = state.refused or HostRefusal()
    fault = Fault(
        code=(refused.code or "HostRefused")[:64],
        message=mask(refused.message or "the host refuses, and does not say why")[:MESSAGE_CHARACTERS],
        hint=mask(refused.hint)[:MESSAGE_CHARACTERS],
    )
    if fault.code == HALTED:
        return InstanceOutcome(instance=instance, outcome=Outcome.SKIPPED, message=fault.message, seconds=seconds)
    return InstanceOutcome(
        instance=instance,
        outcome=Outcome.FAILED,
        was_touched=state.was_started,
        message=fault.message[:MESSAGE_CHARACTERS],
        fault=fault,
        seconds=seconds,
    )


def report_of(
    state: HostState,
    outcome: InstanceOutcome,
    *,
    address: str = "",
    zone: str = "",
    attempts: int = 1,
    ended_at: float,
    mask: Callable[[str], str] = str,
) -> InstanceReport:
    """An instance's record for the store; `ended_at` is control time, for runs whose start was not seen."""
    epoch = ended_at - outcome.seconds if state.epoch is None else state.epoch

    def moment(offset: float | None) -> str:
        return "" if offset is None else iso(epoch + offset)

    records = tuple(
        LifecycleEventRecord(
            name=event.name,
            status=event.status,
            start_time=moment(event.began),
            end_time=moment(event.ended),
            error_code=event.error_code,
            script=event.script,
            message=mask(event.message)[:MESSAGE_CHARACTERS],
            log_tail=tail(mask(event.log_tail)) if event.status == "Failed" else "",
        )
        for event in state.events
    )
    return InstanceReport(
        outcome=outcome,
        address=address,
        zone=zone,
        start_time=moment(0.0),
        end_time=iso(epoch + outcome.seconds) if state.finished else iso(ended_at),
        attempts=attempts,
        events=records,
        warnings=tuple(mask(warning)[:MESSAGE_CHARACTERS] for warning in _warnings(state)),
    )


def _warnings(state: HostState) -> tuple[str, ...]:
    if not state.unkept_warnings:
        return state.warnings
    return (*state.warnings, f"… and {state.unkept_warnings} more warnings, which are only in the journal on the host")


def tail(text: str, limit: int = LOG_TAIL_BYTES) -> str:
    """The end of a text, at most `limit` bytes of UTF-8, from a line's beginning where there is one.

    >>> tail("first line\\nsecond line", 15)
    'second line'
    """
    data = text.encode()
    if len(data) <= limit:
        return text
    cut = data[-limit:].decode(errors="ignore")
    _, newline, rest = cut.partition("\n")
    return rest if newline and rest else cut


def iso(moment: float) -> str:
    """A moment in seconds as ISO 8601 in UTC, to the millisecond.

    >>> iso(0)
    '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
