"""Recorded exchanges of the real CodeDeploy agent 1.8.1, read from `cases/agent_wire`, call by call.

The files' form: a case has `deployments`, `commands` and `exchanges` in the order of time; see `calls`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.harness import ROOT

FOLDER = ROOT / "tests" / "cases" / "agent_wire"
OPERATIONS = {
    "Poll": "PollHostCommand",
    "Spec": "GetDeploymentSpecification",
    "Ack": "PutHostCommandAcknowledgement",
    "Complete": "PutHostCommandComplete",
}
STANDARD_PAYLOAD = '{"error_code":0,"script_name":"","message":"Succeeded: ","log":""}'


@dataclass(frozen=True)
class RecordedCall:
    """One call of the agent. `command` is the identifier of the command that it is about, or was answered with.

    `was_taken`: the recorded server took it and answered as a server should.
    """

    at: float
    operation: str
    body: dict[str, Any]
    command: str
    was_taken: bool
    answer: dict[str, Any] | None


@dataclass(frozen=True)
class RecordedCase:
    """One scenario. `commands` has the name of each command's lifecycle event."""

    file: str
    name: str
    host: str
    commands: dict[str, str]
    raw: dict[str, Any] = field(repr=False)

    def calls(self) -> Iterator[RecordedCall]:
        """The agent's calls, in the order of time."""
        for exchange in self.raw["exchanges"]:
            if exchange.get("op") in OPERATIONS:
                yield self._call(exchange)

    def _call(self, exchange: dict[str, Any]) -> RecordedCall:
        operation = OPERATIONS[exchange["op"]]
        return RecordedCall(
            at=exchange["t"],
            operation=operation,
            body=exchange.get("body") or self._body(operation, exchange),
            command=exchange.get("cmd") or exchange.get("id") or "",
            was_taken=exchange.get("http", 200) == 200 and not _is_lost(exchange),
            answer={"CommandStatus": exchange["answer"]} if "answer" in exchange else exchange.get("res"),
        )

    def _body(self, operation: str, exchange: dict[str, Any]) -> dict[str, Any]:
        if operation == "PollHostCommand":
            return {"HostIdentifier": self.host}
        if operation == "GetDeploymentSpecification":
            known = self.raw["deployments"].get(exchange.get("dep"), {})
            return {
                "DeploymentExecutionId": known.get("DeploymentExecutionId", exchange.get("x")),
                "HostIdentifier": self.host,
            }
        identifier = {"HostCommandIdentifier": exchange.get("id")}
        if operation == "PutHostCommandAcknowledgement":
            noop = "true" if exchange.get("noop") else "false"
            return {**identifier, "Diagnostics": {"Format": "JSON", "Payload": f'{{"IsCommandNoop":{noop}}}'}}
        status = "Succeeded" if exchange.get("ok") else exchange.get("status")
        payload = STANDARD_PAYLOAD if exchange.get("ok") else exchange.get("payload")
        return {**identifier, "CommandStatus": status, "Diagnostics": {"Format": "JSON", "Payload": payload}}


def _is_lost(exchange: dict[str, Any]) -> bool:
    """Whether the server never took the call; the others had their answers cut."""
    return "without an answer" in exchange.get("dropped", "")


def recorded_cases(*files: str) -> list[RecordedCase]:
    """The cases of these files (or of all), by the names of the files without their ending."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        if files and path.stem not in files:
            continue
        for case in json.loads(path.read_text(encoding="utf-8")).get("cases", []):
            names = {name: command["CommandName"] for name, command in case.get("commands", {}).items()}
            found.append(RecordedCase(path.stem, case["case"], case.get("host", ""), names, case))
    return found


def signature_vectors() -> list[dict[str, Any]]:
    """Requests of the real agent with the canonical request and the string to sign that belong to them."""
    vectors: list[dict[str, Any]] = json.loads((FOLDER / "10-sigv4.json").read_text(encoding="utf-8"))["vectors"]
    return vectors
