"""One deployment on one host of AWS's agent: what each call does, what is given up, and what never happens twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towline.model.codedeploy_agent.commands import CommandId, HostRun, State, execution_id, new_run, run_key
from towline.model.codedeploy_agent.diagnostics import Diagnostics, Meaning, meaning_of, read_diagnostics
from towline.model.codedeploy_agent.exchange import (
    OFFERED_AGAIN_SECONDS,
    CommandStatus,
    acknowledge,
    complete,
    give_up,
    halt,
    offer,
)
from towline.model.codedeploy_agent.limits import NOT_RECEIVED, Allowance, check_limits
from towline.model.codedeploy_agent.story import outcome_of_run, state_of
from towline.model.deployment.lifecycle import DeploymentOption, DeploymentStyle, events_for
from towline.model.deployment.status import Outcome
from towline.model.host.outcome import report_of

EVENTS = ("ApplicationStop", "DownloadBundle", "Install", "ValidateService")
ALLOWANCE = Allowance(event_seconds=3600.0, deadline=100_000.0)


def a_run(*, ignores_application_stop: bool = False) -> HostRun:
    return new_run("d-1/run", EVENTS, 0.0, ignores_application_stop=ignores_application_stop)


def worked(run: HostRun, now: float, meaning: Meaning = Meaning.SUCCEEDED, message: str = "") -> HostRun:
    """The next event offered, acknowledged and completed."""
    place = run.place
    assert place is not None
    run = acknowledge(offer(run, now).run, named(place), False, now).run
    code = 0 if meaning is Meaning.SUCCEEDED else 4
    return complete(run, named(place), meaning, Diagnostics(error_code=code, message=message), now)


def named(place: int, number: int = 1) -> CommandId:
    """A command of `a_run` by one of its offers."""
    return CommandId("d-1/run", place, number)


def states(run: HostRun) -> str:
    """One letter for each command: P, O, A, S, F …"""
    return "".join(command.state.name[0] for command in run.commands)


# ── one call after another ───────────────────────────────────────────────────────────────────────────────────────


def test_events_are_offered_in_order_one_at_a_time() -> None:
    run = offer(a_run(), 1.0).run
    assert states(run) == "OPPP"
    assert offer(run, 2.0).place is None
    run = complete(acknowledge(run, named(0), False, 2.0).run, named(0), Meaning.SUCCEEDED, Diagnostics(), 3.0)
    given_ = offer(run, 3.0)
    assert given_.place == 1 and states(given_.run) == "SOPP"


def test_an_offer_whose_answer_was_lost_is_made_again_under_an_identifier_of_its_own() -> None:
    run = offer(a_run(), 1.0).run
    assert offer(run, 1.0 + OFFERED_AGAIN_SECONDS - 0.1).place is None
    again = offer(run, 1.0 + OFFERED_AGAIN_SECONDS)
    assert again.place == 0
    assert (run.identifier(0), again.run.identifier(0)) == (
        "d-1/run/0-ApplicationStop.1",
        "d-1/run/0-ApplicationStop.2",
    )


def test_an_acknowledged_command_is_never_offered_again() -> None:
    run = acknowledge(offer(a_run(), 1.0).run, named(0), False, 2.0).run
    assert offer(run, 10_000.0).place is None


def test_a_noop_ends_with_its_acknowledgement_and_with_every_repeat_of_it() -> None:
    run, answer = acknowledge(offer(a_run(), 1.0).run, named(0), True, 2.0)
    assert answer is CommandStatus.SUCCEEDED and states(run) == "SPPP"
    assert acknowledge(run, named(0), True, 2.5).answer is CommandStatus.SUCCEEDED


def test_install_is_no_noop_whatever_the_host_says() -> None:
    run = worked(worked(a_run(), 1.0), 2.0)
    assert acknowledge(offer(run, 3.0).run, named(2), True, 3.0).answer is CommandStatus.IN_PROGRESS


def test_of_two_copies_one_passes_the_acknowledgement_and_its_repeats_pass_too() -> None:
    run = offer(offer(a_run(), 1.0).run, 1.0 + OFFERED_AGAIN_SECONDS).run
    run = acknowledge(run, named(0, 2), False, 20.0).run
    answers = [acknowledge(run, named(0, number), False, 20.1).answer for number in (2, 1)]
    assert answers == [CommandStatus.IN_PROGRESS, CommandStatus.SUCCEEDED]


def test_a_copy_that_was_not_acknowledged_completes_nothing() -> None:
    run = offer(offer(a_run(), 1.0).run, 1.0 + OFFERED_AGAIN_SECONDS).run
    run = acknowledge(run, named(0, 2), False, 20.0).run
    assert complete(run, named(0, 1), Meaning.FAILED, Diagnostics(error_code=5), 21.0) == run


@pytest.mark.parametrize(
    "text",
    ["", "x", "d-1/run/2-Install.1", "d-1/run/0-Install.1", "d-2/run/0-ApplicationStop.1", "d-1/run/9-Install.1",
     "d-1/run/0-ApplicationStop.2", "d-1/run/0-ApplicationStop.0", "d-1/run/00-ApplicationStop.1"],
)  # fmt: skip
def test_an_identifier_that_was_not_given_out_names_nothing(text: str) -> None:
    assert offer(a_run(), 1.0).run.offer_named(text) is None


def test_what_was_not_offered_is_neither_acknowledged_nor_completed() -> None:
    run = a_run()
    assert acknowledge(run, named(2), False, 1.0) == (run, CommandStatus.FAILED)
    assert complete(run, named(2), Meaning.SUCCEEDED, Diagnostics(), 1.0) == run


def test_the_first_completion_counts() -> None:
    run = worked(a_run(), 1.0)
    assert complete(run, named(0), Meaning.FAILED, Diagnostics(error_code=7, message="after a restart"), 2.0) == run


def test_a_failure_skips_the_rest() -> None:
    assert states(worked(worked(a_run(), 1.0), 2.0, Meaning.FAILED)) == "SFSS"  # S of SKIPPED


@pytest.mark.parametrize("meaning", [Meaning.FAILED, Meaning.INTERRUPTED])
def test_a_failed_application_stop_is_ignored_where_the_deployment_says_so(meaning: Meaning) -> None:
    run = worked(a_run(ignores_application_stop=True), 1.0, meaning)
    for now in (2.0, 3.0, 4.0):
        run = worked(run, now)
    assert outcome_of_run(run, "web-1").outcome is Outcome.SUCCEEDED


def test_a_command_whose_acknowledgement_never_arrived_is_offered_again() -> None:
    lost = read_diagnostics('{"error_code":5,"message":"Aws::CodeDeployCommand::Errors::ServerException"}')
    run = complete(offer(a_run(), 1.0).run, named(0), meaning_of(False, lost), lost, 3.0)
    assert offer(run, 1.0 + OFFERED_AGAIN_SECONDS).place == 0


def test_steps_of_the_control_plane_are_no_commands() -> None:
    style = DeploymentStyle(deployment_option=DeploymentOption.WITH_TRAFFIC_CONTROL)
    assert "BlockTraffic" not in [command.event for command in new_run("k", events_for(style), 0.0).commands]


def test_the_execution_id_fits_the_services_limit() -> None:
    assert len(execution_id(run_key("d" * 64, "0" * 36))) <= 129


# ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_halt_lets_an_acknowledged_event_end_and_begins_nothing_else() -> None:
    run = acknowledge(offer(a_run(), 1.0).run, named(0), False, 2.0).run
    run = halt(run, 3.0)
    assert states(run) == "APPP" and offer(run, 4.0).place is None
    run = complete(run, named(0), Meaning.SUCCEEDED, Diagnostics(), 5.0)
    assert states(run) == "SCCC" and outcome_of_run(run, "web-1").outcome is Outcome.STOPPED


def test_a_halt_takes_back_what_is_offered_and_not_acknowledged() -> None:
    run = halt(offer(a_run(), 1.0).run, 2.0)
    assert acknowledge(run, named(0), False, 3.0).answer is CommandStatus.FAILED
    assert outcome_of_run(run, "web-1").outcome is Outcome.SKIPPED


def test_a_stop_that_does_not_wait_ends_the_run_and_says_that_the_script_goes_on() -> None:
    run = give_up(acknowledge(offer(a_run(), 1.0).run, named(0), False, 2.0).run, 3.0)
    assert run.is_over and "goes on" in outcome_of_run(run, "web-1").message
    assert complete(run, named(0), Meaning.SUCCEEDED, Diagnostics(), 4.0) == run
    assert give_up(run, 5.0) == run


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Limit:
    """A run that is left alone for so long."""

    what: str
    acknowledged: bool
    silent: float
    passed: float
    outcome: Outcome | None
    words: str = ""
    allowance: Allowance = field(default=ALLOWANCE)


LIMITS = (
    Limit("nobody picks it up", False, 301.0, 301.0, Outcome.UNREACHABLE, NOT_RECEIVED),
    Limit("not yet: back-off of the agent alone takes 91 s", False, 299.0, 299.0, None),
    Limit("it polls on, and does not pick it up", False, 1.0, 301.0, Outcome.UNREACHABLE, NOT_RECEIVED),
    Limit("silent in the middle of an event", True, 181.0, 181.0, Outcome.UNREACHABLE, "has not been heard of for"),
    Limit("a long hook while the agent polls on", True, 40.0, 3000.0, None),
    Limit("longer than an event may take", True, 1.0, 3700.0, Outcome.FAILED, "may still run there"),
    Limit(
        "longer than its scripts may take by the AppSpec",
        True,
        1.0,
        200.0,
        Outcome.FAILED,
        "not reported within 30 s",
        Allowance(3600.0, 1e9, {"ApplicationStop": 30.0}),
    ),
    Limit("the deployment's limit", False, 1.0, 60.0, Outcome.FAILED, "time limit", Allowance(3600.0, 50.0)),
)


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: case.what)
def test_limits(case: Limit) -> None:
    run = acknowledge(offer(a_run(), 0.0).run, named(0), False, 0.0).run if case.acknowledged else a_run()
    run = check_limits(run, case.allowance, heard_at=case.passed - case.silent, now=case.passed)
    if case.outcome is None:
        assert not run.is_over
        return
    ended = outcome_of_run(run, "web-1")
    assert ended.outcome is case.outcome and case.words in ended.message
    assert ended.was_touched is case.acknowledged
    assert acknowledge(run, named(0), False, case.passed + 1).answer is CommandStatus.FAILED, "a late host runs nothing"


def test_a_minimal_completion_waits_a_little_for_its_message() -> None:
    minimal = Diagnostics(error_code=5, message="Attempting minimal diagnostics", is_minimal=True)
    run = acknowledge(offer(a_run(), 1.0).run, named(0), False, 1.0).run
    run = complete(run, named(0), Meaning.FAILED, minimal, 2.0)
    assert not run.is_over
    assert check_limits(run, ALLOWANCE, heard_at=2.0, now=6.0).is_over


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_told_as_that_of_any_host() -> None:
    run = worked(worked(a_run(), 10.0), 20.0, Meaning.FAILED, "Script at specified location: b.sh failed")
    outcome = outcome_of_run(run, "web-1")
    report = report_of(state_of(run), outcome, ended_at=20.0)
    assert (outcome.outcome, outcome.failed_event, outcome.error_code) == (Outcome.FAILED, "DownloadBundle", 4)
    assert [(event.name, event.status) for event in report.events] == [
        ("ApplicationStop", "Succeeded"),
        ("DownloadBundle", "Failed"),
        ("Install", "Skipped"),
        ("ValidateService", "Skipped"),
    ]


def test_what_the_agent_could_not_report_is_named_as_such() -> None:
    lost = read_diagnostics('{"error_code":5,"message":"Aws::CodeDeployCommand::Errors::Http502Error"}')
    run = acknowledge(offer(a_run(), 1.0).run, named(0), False, 1.0).run
    run = complete(run, named(0), meaning_of(False, lost), lost, 2.0)
    outcome = outcome_of_run(run, "web-1")
    assert outcome.outcome is Outcome.INTERRUPTED and outcome.fault and outcome.fault.code == "NotReported"


@given(st.one_of(st.none(), st.text(max_size=300), st.binary(max_size=50).map(lambda data: data.decode("latin-1"))))
def test_any_payload_is_read(payload: str | None) -> None:
    found = read_diagnostics(payload)
    assert Diagnostics.model_validate_json(found.model_dump_json()) == found


# ── whatever is lost, repeated or late ───────────────────────────────────────────────────────────────────────────


class Agent:
    """AWS's agent as measured: it executes each copy that passes the gate, and repeats calls without an answer."""

    def __init__(self) -> None:
        self.executed: list[int] = []
        self.copies: list[CommandId] = []  # offered to it, not acknowledged yet
        self.running: list[CommandId] = []


@settings(max_examples=200)
@given(st.data())
def test_no_event_is_executed_twice_and_every_run_ends(data: st.DataObject) -> None:
    run, agent, now = a_run(), Agent(), 0.0
    for _ in range(data.draw(st.integers(0, 60), label="calls")):
        now += data.draw(st.sampled_from([0.3, 1.0, 3.5, 11.0]), label="passed")
        what = data.draw(st.sampled_from(["poll", "ack", "complete", "halt", "give up", "restart"]), label="what")
        is_lost = data.draw(st.booleans(), label="answer lost")
        if what == "poll":
            run, place = offer(run, now)
            if place is not None and not is_lost:
                agent.copies.append(named(place, run.commands[place].offers))
        elif what == "ack" and agent.copies:
            copy = agent.copies.pop(data.draw(st.integers(0, len(agent.copies) - 1), label="copy"))
            noop = data.draw(st.booleans(), label="noop")
            run, answer = acknowledge(run, copy, noop, now)
            answer = acknowledge(run, copy, noop, now + 0.3).answer if is_lost else answer
            if answer is CommandStatus.IN_PROGRESS:
                agent.executed.append(copy.place)
                agent.running.append(copy)
        elif what == "complete" and agent.running:
            meaning = data.draw(st.sampled_from(list(Meaning)), label="meaning")
            run = complete(run, agent.running.pop(0), meaning, Diagnostics(message="m"), now)
        elif what == "halt":
            run = halt(run, now)
        elif what == "give up":
            run = give_up(run, now)
        elif what == "restart":
            run = HostRun.model_validate_json(run.model_dump_json())
    assert len(agent.executed) == len(set(agent.executed))
    assert agent.executed == sorted(agent.executed)
    for _ in range(2 * len(EVENTS) + 1):  # the agent is gone: time alone ends it
        now += 4000.0
        run = check_limits(run, ALLOWANCE._replace(deadline=1e9), heard_at=0.0, now=now)
    assert run.is_over and outcome_of_run(run, "web-1").outcome in Outcome
    assert State.PLANNED not in [command.state for command in run.commands]
