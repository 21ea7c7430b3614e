"""The commands of one deployment on one host: a command for each lifecycle event, in order, one at a time.

    PLANNED → OFFERED → ACKNOWLEDGED → SUCCEEDED | FAILED | INTERRUPTED | NOT_REPORTED | TIMED_OUT
                 │  └──→ SUCCEEDED              a no-op, whose acknowledgement ends it
                 │  └──→ FAILED                 the agent could not read its specification or AppSpec
                 └─────→ CANCELLED              halted before the agent acknowledged it
    PLANNED, OFFERED → NOT_PICKED_UP;  ACKNOWLEDGED → SILENT;  PLANNED → SKIPPED | CANCELLED

The functions of `exchange.py` move them, `limits.py` ends what takes too long, and `story.py` tells how the run went.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from towline.model.base import Message
from towline.model.codedeploy_agent.diagnostics import Diagnostics

STOPPING = "ApplicationStop"
SERVER_SIDE = ("BlockTraffic", "AllowTraffic")
"""Events that are steps of the control plane: AWS's agent answers "Unsupported command type"."""
NEVER_NOOP = ("DownloadBundle", "Install")
_ID = re.compile(r"(.{1,150})/([0-9]{1,3})-[A-Za-z]{1,64}\.([0-9]{1,6})")


class State(StrEnum):
    """Where a command is."""

    PLANNED = "planned"
    OFFERED = "offered"
    ACKNOWLEDGED = "acknowledged"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # the agent or its host was restarted in the middle of it
    NOT_REPORTED = "not reported"  # the agent could not report how it ended
    TIMED_OUT = "timed out"
    NOT_PICKED_UP = "not picked up"
    SILENT = "silent"  # acknowledged, and then the agent polled no more
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self in (State.PLANNED, State.OFFERED, State.ACKNOWLEDGED)


class Command(Message):
    """One lifecycle event as a command. Times are the server's, in seconds since 1970; 0: not yet.

    An offer whose answer may be lost is made again, counted by `offers`; `accepted` is the one that was acknowledged.
    """

    event: str
    state: State = State.PLANNED
    offers: int = 0
    accepted: int = 0
    offered_at: float = 0.0
    acknowledged_at: float = 0.0
    ended_at: float = 0.0
    is_noop: bool = False
    diagnostics: Diagnostics = Diagnostics()

    def changed(self, **fields: Any) -> Command:
        """The command with some fields replaced."""
        return self.model_copy(update=fields)


class CommandId(NamedTuple):
    """A command as agents name it: whose run, the command's place in it, and which offer of it.

    Each offer has an identifier of its own, so that the SDK's repeat of a call differs from that of a second copy.
    """

    key: str
    place: int
    offer: int

    @classmethod
    def parse(cls, text: str) -> CommandId | None:
        """Reads a HostCommandIdentifier; None: it is none of towline's.

        >>> CommandId.parse("d-1/0f3c/3-Install.1")
        CommandId(key='d-1/0f3c', place=3, offer=1)
        """
        match = _ID.fullmatch(text)
        return cls(match[1], int(match[2]), int(match[3])) if match else None


class HostRun(Message):
    """One deployment on one host: what survives a killed server, as heartbeat details of its activity.

    `current_since` is when the first open command became the next one, `began_at` when the run began.
    """

    key: str  # deployment and run; in the identifiers of its commands
    commands: tuple[Command, ...]
    began_at: float
    current_since: float
    ignores_application_stop: bool = False
    is_halting: bool = False

    @property
    def place(self) -> int | None:
        """The place of the first open command; None: all have ended."""
        return next((place for place, command in enumerate(self.commands) if command.state.is_open), None)

    @property
    def current(self) -> Command | None:
        """The first open command."""
        return None if self.place is None else self.commands[self.place]

    @property
    def is_over(self) -> bool:
        """Whether every command has ended, with a message that is not to be replaced any more."""
        return self.place is None and not any(command.diagnostics.is_minimal for command in self.commands)

    @property
    def was_offered(self) -> bool:
        """Whether the host may have begun anything."""
        return any(command.offers for command in self.commands)

    def identifier(self, place: int) -> str:
        """The HostCommandIdentifier of a command's last offer, an opaque text to agents."""
        command = self.commands[place]
        return f"{self.key}/{place}-{command.event}.{command.offers}"

    def offer_named(self, identifier: str) -> CommandId | None:
        """The command of this run that an identifier names, of an offer that was made; None: there is none."""
        found = CommandId.parse(identifier)
        if found is None or found.key != self.key or found.place >= len(self.commands):
            return None
        command = self.commands[found.place]
        is_made = 1 <= found.offer <= command.offers
        return found if is_made and identifier == f"{self.key}/{found.place}-{command.event}.{found.offer}" else None

    def with_command(self, place: int, command: Command) -> HostRun:
        """The run with one command replaced."""
        return self.model_copy(update={"commands": (*self.commands[:place], command, *self.commands[place + 1 :])})


def new_run(key: str, events: Sequence[str], now: float, *, ignores_application_stop: bool = False) -> HostRun:
    """A run that has not begun. `key` is of the server's making: agents make path names of parts of it."""
    commands = tuple(Command(event=event) for event in events if event not in SERVER_SIDE)
    return HostRun(
        key=key,
        commands=commands,
        began_at=now,
        current_since=now,
        ignores_application_stop=ignores_application_stop,
    )


def run_key(deployment_id: str, run_id: str) -> str:
    """The key of a deployment's runs; with the run id, since a deployment id may be used again later.

    >>> run_key("d-1", "0f3c")
    'd-1/0f3c'
    """
    return f"{deployment_id}/{run_id}"


def execution_id(key: str) -> str:
    """The DeploymentExecutionId of a run's specification, in the form that the service's model gives (129 characters).

    >>> execution_id("d-1/0f3c")
    'CodeDeploy/towline/prod/d-1/0f3c'
    """
    return f"CodeDeploy/towline/prod/{key}"


def key_of_execution(text: str) -> str:
    """The key of a run by its DeploymentExecutionId; empty: it is none of towline's."""
    prefix = execution_id("")
    return text.removeprefix(prefix) if text.startswith(prefix) else ""
