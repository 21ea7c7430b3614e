"""What AWS's agent reports of a command: the diagnostics of its completion, and what they mean.

A host may be broken, or an attacker's: texts are cut, numbers bounded, and what is no JSON is kept as a message.
Sources: the agent's `ScriptError` and `HookExecutor`; exchanges of the real agent in tests/cases/agent_wire.
"""

from __future__ import annotations

import json
from enum import StrEnum

from towline.model.base import Message

MESSAGE_CHARACTERS = 2000
LOG_CHARACTERS = 16 * 1024
NAME_CHARACTERS = 1024
LARGEST_CODE = 2**31

UNKNOWN_ERROR = 5
AFTER_RESTART = 7
SDK_ERROR = "Aws::CodeDeployCommand::Errors::"
CONNECTION_ERRORS = (
    "SSL_connect",
    "SSL_read",
    "SSL_write",
    "Net::ReadTimeout",
    "Net::OpenTimeout",
    "end of file reached",
)


class Meaning(StrEnum):
    """How a completion is to be understood."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # the agent was restarted in the middle of the event
    NOT_REPORTED = "not reported"  # the agent could not reach us; how the event ended is not known


class Diagnostics(Message):
    """The diagnostics of a completion. `is_minimal`: the real message comes with the agent's second completion."""

    error_code: int = 0
    script: str = ""
    message: str = ""
    log: str = ""
    is_minimal: bool = False


def read_diagnostics(payload: str | None) -> Diagnostics:
    """Reads the payload of a completion; one that is no JSON object is its own message.

    >>> read_diagnostics('{"error_code": 4, "script_name": "a.sh", "message": "failed", "log": "[stdout]x"}').script
    'a.sh'
    >>> read_diagnostics('{"error_code": "Unknown", "message": "Attempting minimal diagnostics"}').is_minimal
    True
    >>> read_diagnostics("boom").message
    'boom'
    """
    given = _object(payload or "")
    if given is None:
        return Diagnostics(error_code=UNKNOWN_ERROR, message=_first_paragraph(payload or ""))
    code = given.get("error_code")
    return Diagnostics(
        error_code=_number(code),
        script=_text(given.get("script_name"))[:NAME_CHARACTERS],
        message=_first_paragraph(_text(given.get("message"))),
        log=_text(given.get("log"))[-LOG_CHARACTERS:],
        is_minimal=code == "Unknown",
    )


def meaning_of(succeeded: bool, diagnostics: Diagnostics, endpoint: str = "") -> Meaning:
    """What a completion says. `endpoint` is the address, as `host:port`, at which the agent reaches this server.

    Where the answer to a completion is lost or refused, the agent reports the same command as failed, with the error of
    its own call as the message: its event may well have succeeded.

    >>> lost = Diagnostics(error_code=5, message="Aws::CodeDeployCommand::Errors::ServerException")
    >>> meaning_of(False, lost).value
    'not reported'
    """
    if succeeded:
        return Meaning.SUCCEEDED
    if diagnostics.error_code == AFTER_RESTART and not diagnostics.script:
        return Meaning.INTERRUPTED
    return Meaning.NOT_REPORTED if _is_of_the_call(diagnostics, endpoint) else Meaning.FAILED


def _is_of_the_call(diagnostics: Diagnostics, endpoint: str) -> bool:
    if diagnostics.error_code != UNKNOWN_ERROR or diagnostics.script or diagnostics.log:
        return False
    message = diagnostics.message
    return (
        message.startswith((SDK_ERROR, *CONNECTION_ERRORS))
        or (bool(endpoint) and endpoint in message and "connection" in message)
    )  # fmt: skip


def is_noop(payload: str | None) -> bool:
    """Whether an acknowledgement says that the event has no script on this host.

    >>> is_noop('{"IsCommandNoop":true}'), is_noop('{"IsCommandNoop":false}'), is_noop(None)
    (True, False, False)
    """
    return (_object(payload or "") or {}).get("IsCommandNoop") is True


def _object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return UNKNOWN_ERROR
    return value if -LARGEST_CODE < value < LARGEST_CODE else UNKNOWN_ERROR


def _text(value: object) -> str:
    """A text without what no store or terminal takes: half surrogates and NUL."""
    return value.encode(errors="replace").decode().replace("\0", "\ufffd") if isinstance(value, str) else ""


def _first_paragraph(text: str) -> str:
    """Ruby 3.1 and newer quote a line of the agent's source below a blank line."""
    return _text(text).partition("\n\n")[0][:MESSAGE_CHARACTERS]
