"""The fold over a runner's events: repeated events change nothing, and each end is told apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.deployment.status import Outcome
from towline.model.host.events import EVENT, UnknownEvent
from towline.model.host.outcome import outcome_of, report_of, tail
from towline.model.host.state import MOST_EVENTS, MOST_WARNINGS, HostState

NOW = 1_000.0


def journal(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Journaled events: seq and offset by place, one second each."""
    return [{"v": 1, "seq": n, "time": 5.0 + n, "offset": float(n - 1), **e} for n, e in enumerate(events, 1)]


STARTED = {"kind": "started", "key": {}, "do": "deploy"}
GOOD = journal(
    STARTED,
    {"kind": "event_started", "event": "AfterInstall"},
    {"kind": "script_started", "event": "AfterInstall", "script": "a.sh", "index": 0},
    {"kind": "script_ended", "event": "AfterInstall", "script": "a.sh", "index": 0, "exit": 0},
    {"kind": "event_ended", "event": "AfterInstall", "status": "Succeeded", "error_code": 0},
    {"kind": "warning", "event": "AfterInstall", "message": "careful"},
    {"kind": "finished", "outcome": "succeeded"},
)


def folded(events: list[dict[str, Any]], state: HostState | None = None, at: float = NOW) -> HostState:
    """The state after these events, each of which arrives when it happens."""
    state = state or HostState()
    for event in events:
        state = state.after(EVENT.validate_json(json.dumps(event)), at + float(event.get("offset", 0.0)))
    return state


@dataclass
class Case:
    name: str
    last: dict[str, Any]
    outcome: Outcome
    touched: bool = True


CASES = [
    Case("success", {"outcome": "succeeded"}, Outcome.SUCCEEDED),
    Case("a script failed", {"outcome": "failed", "failed_event": "Install", "error_code": 5}, Outcome.FAILED),
    Case("the host died", {"outcome": "interrupted"}, Outcome.INTERRUPTED),
    Case("halted", {"outcome": "stopped"}, Outcome.STOPPED),
    Case("a word of a newer runner is not a success", {"outcome": "exploded"}, Outcome.FAILED),
    Case("nothing to undo", {"outcome": "succeeded", "nothing_to_do": True}, Outcome.SUCCEEDED, touched=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_end_has_its_outcome(case: Case) -> None:
    outcome = outcome_of(folded(journal(STARTED, {"kind": "finished", **case.last})), "web-01")
    assert outcome.outcome is case.outcome
    assert outcome.was_touched is case.touched
    assert outcome.failed_event == case.last.get("failed_event", "")


def test_refused_before_anything_began_is_the_hosts_failure_and_touches_nothing() -> None:
    state = folded([{"kind": "refused", "code": "AwsAgent", "message": "AWS's agent runs here", "hint": "stop it"}])
    outcome = outcome_of(state, "web-01")
    assert (outcome.outcome, outcome.was_touched) == (Outcome.FAILED, False)
    assert outcome.fault and outcome.fault.code == "AwsAgent" and outcome.fault.hint == "stop it"


def test_live_phase_and_script_follow_the_events() -> None:
    assert folded([{"kind": "waiting", "holder": "d-7"}]).note == "another deployment holds the host: d-7"
    in_script = folded(GOOD[:3])
    assert (in_script.phase, in_script.script) == ("AfterInstall", "a.sh")
    assert folded(GOOD[:4]).script == ""
    assert folded(GOOD).phase == "ended"


def test_log_position_is_the_hosts_whatever_the_text_became() -> None:
    assert folded([{"kind": "log", "at": 10, "end": 14, "text": "a\ufffdb\n"}]).log_bytes == 14


def test_halted_while_it_waited_for_the_host_was_never_begun() -> None:
    outcome = outcome_of(folded([{"kind": "refused", "code": "Stopped", "message": "halted"}]), "web-01")
    assert (outcome.outcome, outcome.was_touched, outcome.fault) == (Outcome.SKIPPED, False, None)


def test_the_end_counts_even_where_a_power_cut_made_the_journal_shorter() -> None:
    known = folded(GOOD[:5])
    end = {"v": 1, "seq": 3, "time": 9.0, "offset": 9.0, "kind": "finished", "outcome": "interrupted"}
    over = folded([end], known)
    assert over.finished and over.finished.outcome == "interrupted" and over.seq == known.seq
    assert folded([end], over) == over


def test_kinds_of_a_newer_runner_are_ignored() -> None:
    assert HostState().after(UnknownEvent(kind="sparkle"), NOW) == HostState()


def test_warnings_and_events_beyond_all_reason_are_counted_and_not_kept() -> None:
    many = [{"kind": "warning", "event": "Install", "message": "m" * 9000}] * (MOST_WARNINGS + 5)
    names = [{"kind": "event_started", "event": f"e{n}"} for n in range(MOST_EVENTS + 5)]
    state = folded(journal(STARTED, *many, *names, {"kind": "finished", "outcome": "succeeded"}))
    report = report_of(state, outcome_of(state, "web-01"), ended_at=NOW)
    assert len(report.warnings) == MOST_WARNINGS + 1 and report.warnings[-1].startswith("… and 5 more")
    assert max(map(len, report.warnings)) <= 2000
    assert len(report.events) == MOST_EVENTS


@given(st.data())
def test_events_that_come_again_after_a_lost_connection_change_nothing(data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(GOOD)))
    back = data.draw(st.integers(0, cut))
    again = folded(GOOD[back:], folded(GOOD[:cut]))
    once = folded(GOOD)
    assert again == once
    assert [event.name for event in again.events] == ["AfterInstall"]
    assert again.warnings == ("AfterInstall: careful",)


@given(st.integers(-10_000, 10_000), st.floats(0, 60))
def test_report_shows_control_time_whatever_the_hosts_clock_says(skew: int, late: float) -> None:
    events = [{**event, "time": event["time"] + skew} for event in GOOD]
    state = folded(events[1:], folded(events[:1], at=NOW + late))
    report = report_of(state, outcome_of(state, "w"), ended_at=NOW + 6)
    assert report.start_time == "1970-01-01T00:16:40.000+00:00"
    assert report.end_time == "1970-01-01T00:16:46.000+00:00"
    assert report.events[0].start_time == "1970-01-01T00:16:41.000+00:00"


def test_secrets_are_masked_in_outcome_and_report() -> None:
    failed = {"event": "Install", "status": "Failed", "error_code": 4, "message": "hunter2!", "log": "hunter2\n"}
    ends = {"outcome": "failed", "failed_event": "Install", "message": "hunter2!", "log": "x hunter2\n"}
    state = folded(journal(STARTED, {"kind": "event_ended", **failed}, {"kind": "finished", **ends}))

    def mask(text: str) -> str:
        return text.replace("hunter2", "•••")

    outcome = outcome_of(state, "w", mask)
    report = report_of(state, outcome, ended_at=NOW, mask=mask)
    assert "hunter2" not in report.model_dump_json()
    assert outcome.log_tail == "x •••\n"


@given(st.text(), st.integers(1, 50))
def test_tail_never_exceeds_its_limit(text: str, limit: int) -> None:
    assert len(tail(text, limit).encode()) <= limit
    assert text.endswith(tail(text, limit))


V1 = {"deployment": "d-1", "label": "shop-1.tgz", "sha256": "a"}
RUNS_V1, NOTHING = {"succeeded": V1}, {"succeeded": None}
UNDONE = [
    ("back to what it ran", {"undone": "restored", "now": RUNS_V1}, "shop-1.tgz", Outcome.SUCCEEDED, "shop-1.tgz"),
    ("an emptied disk", {"undone": "cleaned", "now": NOTHING}, "shop-1.tgz", Outcome.FAILED, ""),
    ("no journal any more", {"undone": "unknown", "now": NOTHING}, "shop-1.tgz", Outcome.FAILED, ""),
    ("never begun there", {"undone": "unknown", "now": RUNS_V1}, "shop-1.tgz", Outcome.SUCCEEDED, "shop-1.tgz"),
    ("a first deployment", {"undone": "cleaned", "now": NOTHING}, "", Outcome.SUCCEEDED, ""),
    ("others were there", {"undone": "restored", "now": RUNS_V1}, "shop-0.tgz", Outcome.SUCCEEDED, "shop-1.tgz"),
    ("a runner that does not say", {}, "shop-1.tgz", Outcome.SUCCEEDED, None),
    ("a host that does not say", {"undone": "restored", "now": {}}, "shop-1.tgz", Outcome.SUCCEEDED, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("says", "expected", "outcome", "now"), [row[1:] for row in UNDONE], ids=[row[0] for row in UNDONE]
)
def test_what_a_host_says_after_an_undo(says: dict[str, Any], expected: str, outcome: Outcome, now: str | None) -> None:
    state = folded(journal({**STARTED, "do": "undo"}, {"kind": "finished", "outcome": "succeeded", **says}))
    told = outcome_of(state, "web-01", expected=expected)
    assert told.outcome is outcome
    assert (told.now.label if told.now else None) == now
    if outcome is Outcome.FAILED:
        assert "had lost what it ran, shop-1.tgz" in told.message and told.fault and told.was_touched


def test_what_runs_is_told_of_what_failed_and_not_of_what_succeeded() -> None:
    end = {"kind": "finished", "now": NOTHING}
    assert outcome_of(folded(journal(STARTED, {**end, "outcome": "failed"})), "a").now is not None
    assert outcome_of(folded(journal(STARTED, {**end, "outcome": "succeeded"})), "a").now is None
