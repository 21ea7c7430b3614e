"""What a host says: the events of docs/host-protocol.md as a union by `kind`, each text, number and list bounded.

A host may be broken, or an attacker's. What does not fit is refused where the line is read
(`towline/transports/event_lines.py`); what fits and is only long (a message, a log's tail) is cut. The limits are
far above what the runner sends (`tests/host/test_event_limits.py`). Unknown fields are ignored, as are unknown kinds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter

LARGEST = 2**53
"""Of any count of bytes or events: exact in every JSON reader."""
LONGEST_SECONDS = 10**9
"""Of an offset, some thirty years: added to a time of now it is still one that a calendar has."""

PROSE_CHARACTERS = 16 * 1024
LOG_TEXT_CHARACTERS = 256 * 1024
PATHS = 1_000_000
FINDINGS = 1000


def _text(value: Any) -> Any:
    return "" if value is None else value  # the runner writes null where it has nothing to say


def _first(text: str) -> str:
    return text[:PROSE_CHARACTERS]


def _last(text: str) -> str:
    return text[-PROSE_CHARACTERS:]


_Name = Annotated[str, StringConstraints(max_length=256)]
_Path = Annotated[str, BeforeValidator(_text), StringConstraints(max_length=8192)]
_Prose = Annotated[str, BeforeValidator(_text), AfterValidator(_first)]
_LogTail = Annotated[str, BeforeValidator(_text), AfterValidator(_last)]
_Count = Annotated[int, Field(ge=0, le=LARGEST)]
_Paths = Annotated[tuple[_Path, ...], Field(max_length=PATHS)]
_Notes = Annotated[tuple[_Prose, ...], Field(max_length=FINDINGS)]


class _Shape(BaseModel):
    """Read strictly: "1" is no number and 1 no text."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


# ── what passes by ───────────────────────────────────────────────────────────────────────────────────────────────


class HostRefusal(_Shape):
    """Nothing was begun."""

    kind: Literal["refused"] = "refused"
    code: _Prose = ""
    message: _Prose = ""
    hint: _Prose = ""


class Waiting(_Shape):
    """Another deployment works on the host."""

    kind: Literal["waiting"] = "waiting"
    holder: _Prose = ""


class Need(_Shape):
    """The runner asks for an archive, a fresh URL, or the plan of an archive that AWS's agent has left."""

    kind: Literal["need"] = "need"
    what: _Name
    reason: _Prose = ""
    deployment: _Prose = ""
    name: _Path = ""
    appspec: Annotated[str, BeforeValidator(_text)] = ""  # bounded by the line, and by `parse_appspec`


class Transfer(_Shape):
    """How far the archive has come."""

    kind: Literal["transfer"] = "transfer"
    bytes: _Count = 0
    size: _Count | None = None


class Attached(_Shape):
    """A runner or its journal was there already."""

    kind: Literal["attached"] = "attached"


class LogText(_Shape):
    """A piece of the script log; `at` and `end` are its place in the host's file."""

    kind: Literal["log"] = "log"
    at: _Count
    end: _Count
    text: Annotated[str, StringConstraints(max_length=LOG_TEXT_CHARACTERS)]


# ── what is in the journal ───────────────────────────────────────────────────────────────────────────────────────


class Journaled(_Shape):
    """What every record of the journal has; `offset` is in seconds since the runner's start."""

    seq: Annotated[int, Field(ge=0, le=LARGEST)]
    offset: Annotated[float, Field(ge=0, le=LONGEST_SECONDS)] = 0.0


class Started(Journaled):
    """The runner has begun."""

    kind: Literal["started"] = "started"


class Resumed(Journaled):
    """Another runner goes on behind an event whose failure does not count."""

    kind: Literal["resumed"] = "resumed"


class EventStarted(Journaled):
    """A lifecycle event begins."""

    kind: Literal["event_started"] = "event_started"
    event: _Name


class ScriptStarted(Journaled):
    """A script of the event begins."""

    kind: Literal["script_started"] = "script_started"
    event: _Name
    script: _Path


class ScriptEnded(Journaled):
    """It has ended."""

    kind: Literal["script_ended"] = "script_ended"


class EventEnded(Journaled):
    """A lifecycle event has ended, or was skipped."""

    kind: Literal["event_ended"] = "event_ended"
    event: _Name
    status: _Name
    error_code: Annotated[int, Field(ge=-LARGEST, le=LARGEST)] = 0
    script_name: _Path = ""
    message: _Prose = ""
    log: _LogTail = ""


class Warned(Journaled):
    """Something that is no failure."""

    kind: Literal["warning"] = "warning"
    event: _Name = ""
    message: _Prose


class HostRevision(_Shape):
    """A revision as hosts know it; AWS's agent has left no label and no digest."""

    deployment: _Prose = ""
    label: _Prose = ""
    sha256: _Prose = ""


class OnHost(_Shape):
    """What is on a host for a group: what was installed last, and what succeeded last."""

    installed: HostRevision | None = None
    succeeded: HostRevision | None = None


class Finished(Journaled):
    """The runner's last record."""

    kind: Literal["finished"] = "finished"
    outcome: _Name
    failed_event: _Name = ""
    error_code: Annotated[int, Field(ge=-LARGEST, le=LARGEST)] = 0
    script_name: _Path = ""
    message: _Prose = ""
    log: _LogTail = ""
    nothing_to_do: bool = False
    undone: _Name = ""
    now: OnHost | None = None


# ── answers to questions ─────────────────────────────────────────────────────────────────────────────────────────


class Inventory(_Shape):
    """What a host runs, by group id."""

    kind: Literal["inventory"] = "inventory"
    groups: Annotated[dict[_Name, OnHost], Field(max_length=100_000)]
    machine: _Prose = ""


class PlannedScript(_Shape):
    """A script that would run."""

    event: _Name
    location: _Path


class HostPlan(_Shape):
    """What a deployment, or an undo, would do on a host."""

    kind: Literal["plan"] = "plan"
    removed: _Paths = ()
    added: _Paths = ()
    changed: _Paths = ()
    unchanged: _Count = 0
    run: Annotated[tuple[PlannedScript, ...], Field(max_length=FINDINGS)] = ()
    runs_now: HostRevision | None = None
    back_to: HostRevision | None = None
    nothing: _Prose = ""
    warnings: _Notes = ()
    problems: _Notes = ()
    problem: _Prose = ""
    complete: bool = True
    machine: _Prose = ""


class HostFinding(_Shape):
    """One thing that was looked at."""

    name: _Name
    ok: bool
    message: _Prose = ""


class HostFindings(_Shape):
    """Whether a host could take a deployment."""

    kind: Literal["check"] = "check"
    findings: Annotated[tuple[HostFinding, ...], Field(max_length=FINDINGS)]
    time: Annotated[float, Field(ge=-LARGEST, le=LARGEST)] = 0.0
    machine: _Prose = ""


class ScriptLog(_Shape):
    """The script log of a deployment."""

    kind: Literal["logs"] = "logs"
    text: str


class HaltTaken(_Shape):
    """A request to stop was taken."""

    kind: Literal["halt"] = "halt"
    deployment: _Prose = ""
    finished: bool = False


Answer = Inventory | HostPlan | HostFindings | ScriptLog | HaltTaken | HostRefusal
"""What a host answers to a question."""

JournalEvent = Started | Resumed | EventStarted | ScriptStarted | ScriptEnded | EventEnded | Warned | Finished

KnownEvent = Waiting | Need | Transfer | Attached | LogText | JournalEvent | Answer


class UnknownEvent(_Shape):
    """An event of a kind that a newer runner may know."""

    kind: str


HostEvent = KnownEvent | UnknownEvent

EVENT: TypeAdapter[KnownEvent] = TypeAdapter(
    Annotated[KnownEvent, Field(discriminator="kind")], config=ConfigDict(defer_build=True)
)
