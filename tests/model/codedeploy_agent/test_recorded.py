"""Every recorded exchange of the real agent, played against the state machine: each command ends as it ended there."""

from __future__ import annotations

import pytest

from tests.harness.agent_wire import RecordedCall, RecordedCase, recorded_cases
from towline.model.codedeploy_agent.commands import CommandId, HostRun, State, new_run
from towline.model.codedeploy_agent.diagnostics import is_noop, meaning_of, read_diagnostics
from towline.model.codedeploy_agent.exchange import CommandStatus, acknowledge, complete, offer

ENDPOINT = "codedeploy-commands.test:8443"
CASES = recorded_cases()
UNDERSTOOD = {
    # the agent's success was answered 502, 504, 400 or 500, or found nobody: it then reports its own call's error
    **{("netflip", f"hc-netflip-00{number}"): State.NOT_REPORTED for number in (3, 4, 5)},
    ("badcmd2", "hc-badcmd2-009"): State.NOT_REPORTED,
    # the specification or the acknowledgement was refused: nothing ran, the command may be offered again
    **{("badcmd2", f"hc-badcmd2-00{number}"): State.OFFERED for number in (3, 4, 5, 6)},
}


class Server:
    """One run for each command of a case, as the recorded server had no order of events."""

    def __init__(self, case: RecordedCase) -> None:
        self.case = case
        self.runs: dict[str, HostRun] = {}
        self.acknowledged: dict[str, float] = {}

    def play(self, call: RecordedCall) -> None:
        body, name = call.body, call.command
        if call.operation == "PollHostCommand" and name:
            self.poll(name, call)
        elif name not in self.runs or not call.was_taken:
            return
        elif call.operation == "PutHostCommandAcknowledgement":
            self.acknowledge(name, is_noop(body["Diagnostics"]["Payload"]), call)
        elif call.operation == "PutHostCommandComplete":
            given = read_diagnostics(body["Diagnostics"]["Payload"])
            meaning = meaning_of(body["CommandStatus"] == "Succeeded", given, ENDPOINT)
            self.runs[name] = complete(self.runs[name], latest(self.runs[name]), meaning, given, call.at)

    def poll(self, name: str, call: RecordedCall) -> None:
        known = self.runs.get(name) or new_run(name, [self.case.commands[name]], call.at)
        given = offer(known, call.at)
        if name in self.acknowledged:
            assert given.place is None, f"{name} is offered again after its acknowledgement"
        elif name not in self.runs:
            assert given.place == 0, f"{name} is not offered"
        self.runs[name] = given.run

    def acknowledge(self, name: str, noop: bool, call: RecordedCall) -> None:
        was_open = self.runs[name].commands[0].state.is_open
        taken = acknowledge(self.runs[name], latest(self.runs[name]), noop, call.at)
        self.runs[name] = taken.run
        if name not in self.acknowledged and was_open:
            assert taken.answer is (
                CommandStatus.SUCCEEDED if taken.run.commands[0].is_noop else CommandStatus.IN_PROGRESS
            )
        self.acknowledged.setdefault(name, call.at)


def latest(run: HostRun) -> CommandId:
    """The command by its last offer: recorded identifiers were the same for each."""
    named = run.offer_named(run.identifier(0))
    assert named
    return named


def expected(case: RecordedCase, name: str) -> State | None:
    """How the command ended by the first completion that the recorded server took; None: by none."""
    if (case.name, name) in UNDERSTOOD:
        return UNDERSTOOD[case.name, name]
    about = [call for call in case.calls() if call.command == name and call.was_taken]
    for call in about:
        if call.operation == "PutHostCommandAcknowledgement" and is_noop(call.body["Diagnostics"]["Payload"]):
            return State.SUCCEEDED
        if call.operation == "PutHostCommandComplete":
            if call.body["CommandStatus"] == "Succeeded":
                return State.SUCCEEDED
            return State.INTERRUPTED if '"error_code":7' in call.body["Diagnostics"]["Payload"] else State.FAILED
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_recorded_exchange_ends_each_command_as_it_ended(case: RecordedCase) -> None:
    server = Server(case)
    for call in case.calls():
        server.play(call)
    for name, run in server.runs.items():
        command, end = run.commands[0], expected(case, name)
        if end is None:
            assert command.state.is_open, (name, command)
        else:
            assert command.state is end, (name, command)


def test_the_message_of_a_minimal_completion_comes_with_the_second_one() -> None:
    (case,) = [case for case in CASES if case.name == "hookfail"]
    server = Server(case)
    for call in case.calls():
        server.play(call)
    shown = server.runs["hc-hookfail-008"].commands[0].diagnostics
    assert (shown.message, shown.script) == ("Script at specified location: long.sh failed with exit code 1", "long.sh")
    assert server.runs["hc-hookfail-008"].is_over
