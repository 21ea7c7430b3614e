"""Groups failures with the same cause, so that it is shown once, in terminal, Web UI, report and JSON. Pure.

Two failures are of one cause when they failed in the same way, in the same event and script, and say the same once
what differs from host to host is left out: names, addresses, numbers, hexadecimal ids, temporary names and the paths
of the deployment. What a number means is kept where it tells causes apart: exit codes, signals, error numbers, HTTP
statuses, line numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from towline.model.base import ApiShape
from towline.model.deployment.status import Outcome, TargetStatus
from towline.model.deployment.target import InstanceTarget, TargetDetails
from towline.model.messages.instance import InstanceOutcome

LAST_LINES = 5
"""How many lines at the end of a log are compared; those above are of what went well."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Failure:
    """What is known of one instance's failure; `own_names` are what its texts may call the host."""

    outcome: str
    event: str = ""
    script: str = ""
    message: str = ""
    log: str = ""
    own_names: tuple[str, ...] = ()

    @property
    def cause(self) -> tuple[str, ...]:
        """What failures of one cause have in common."""
        end = "\n".join(self.log.rstrip().splitlines()[-LAST_LINES:])
        said = normalized(self.message, self.own_names), normalized(end, self.own_names)
        return (self.outcome, self.event, normalized(self.script, self.own_names), *said)


class Cause(ApiShape):
    """One cause, in `--json` and reports, with the words of the first instance that it hit."""

    instances: tuple[str, ...]
    outcome: str
    event: str
    script: str
    message: str
    log_tail: str


def failure_of(outcome: InstanceOutcome) -> Failure:
    """The failure that an instance's outcome tells of."""
    message = outcome.message
    if outcome.outcome is Outcome.UNREACHABLE and outcome.fault:  # the rest tells when it was lost, not why
        message = outcome.fault.message
    return Failure(
        outcome=outcome.outcome.value,
        event=outcome.failed_event,
        script=outcome.script,
        message=message or (outcome.fault.message if outcome.fault else ""),
        log=outcome.log_tail,
        own_names=(outcome.instance,),
    )


def by_cause(items: Iterable[Item], failure: Callable[[Item], Failure]) -> list[list[Item]]:
    """The items grouped by cause, in the order of the first ones.

    >>> by_cause(["a 1", "b", "a 2"], lambda text: Failure("failed", message=text))
    [['a 1', 'a 2'], ['b']]
    """
    alike: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        alike.setdefault(failure(item).cause, []).append(item)
    return list(alike.values())


def causes_of(targets: Iterable[InstanceTarget], details: Mapping[str, TargetDetails]) -> list[Cause]:
    """Why instances failed, what hit most of them first; `details` are by name.

    Of an instance that a rollback took back since, this tells how the deployment itself ended on it.
    """
    failed = [
        (target.target_id, _failure_of_target(target, details.get(target.target_id, TargetDetails())))
        for target in targets
        if target.status is TargetStatus.FAILED
    ]
    together = by_cause(failed, lambda item: item[1])
    return [_cause(alike) for alike in sorted(together, key=len, reverse=True)]


def _cause(alike: Sequence[tuple[str, Failure]]) -> Cause:
    _, first = alike[0]
    return Cause(
        instances=tuple(name for name, _ in alike),
        outcome=first.outcome,
        event=first.event,
        script=first.script,
        message=first.message,
        log_tail=first.log,
    )


def _failure_of_target(target: InstanceTarget, details: TargetDetails) -> Failure:
    event = target.failed_event
    diagnostics = event.diagnostics if event else None
    return Failure(
        outcome=details.own_outcome or target.status.lower(),
        event=event.lifecycle_event_name if event else "",
        script=diagnostics.script_name if diagnostics else "",
        message=details.fault or (diagnostics.message if diagnostics else "") or details.message,
        log=diagnostics.log_tail if diagnostics else "",
        own_names=(target.target_id, details.address.partition(":")[0]),
    )


def normalized(text: str, own_names: Iterable[str] = ()) -> str:
    """A text without what differs from host to host. Linear time.

    >>> normalized("web-02: connect to 10.0.3.22:8080 refused after 31 s, exit code 7", ["web-02"])
    'HOST: connect to ADDRESS refused after # s, exit code 7'
    """
    for name in sorted({*own_names, *(name.partition(".")[0] for name in own_names)}, key=len, reverse=True):
        if len(name) >= _SHORTEST_NAME:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "HOST", text)
    return _DIFFERS.sub(_placeholder, text)


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

_SHORTEST_NAME = 3
"""A host may be called `a`: as a word that stands for nothing."""

_SOURCE_FILE = r"[\w./-]{1,200}\.(?:sh|bash|py|rb|pl|js|ts|php|java|go|c|lua|ya?ml|json|conf|toml|ini|service)"
_MEANS = r"(?i:exit(?: (?:code|status))?|code|status|signal|errno|error|line|http(?:/[\d.]{1,3})?|returned|rc)"

# Every repetition has an end or begins at a word's edge only: the time is linear in the text.
_DIFFERS = re.compile(
    r"(?P<DEPLOYMENT>/[^\s'\":]{0,200}?deployment-root/[^\s'\":/]{1,100}/[^\s'\":/]{1,100})"
    rf"|(?P<kept>\b{_SOURCE_FILE}:\d+\b|\b{_MEANS}[ =:#]{{1,3}}\d+\b)"
    r"|(?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z\b|[+-]\d\d:?\d\d\b)?)"
    r"|(?P<ADDRESS>\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d{1,5}\b)?"
    r"|\[(?:[0-9a-fA-F]{0,4}:){2,8}[0-9a-fA-F]{0,4}\](?::\d{1,5}\b)?"
    r"|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"
    r"|(?<![\w:])(?=[0-9a-fA-F:]{0,40}::)[0-9a-fA-F:]{3,45}(?![\w:])"
    r"|(?<=@)[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::\d{1,5}\b)?"
    r"|\b[A-Za-z][A-Za-z0-9.-]{0,252}:\d{2,5}\b)"
    r"|(?P<deployment>\bd-[0-9A-Z]{9}\b)"
    r"|(?P<TEMPORARY>\btmp\.?[A-Za-z0-9_]{6,})"
    r"|(?P<hex>\b0[xX][0-9a-fA-F]+\b|\b(?=[a-f]{0,64}[0-9])[0-9a-f]{7,}\b)"
    r"|(?P<number>(?<![\w.])\d+(?:[.,:]\d+){0,8}(?:(?!\w)|(?=(?:ms|[smhB%]|[kKMG]i?B?)\b)))"
)


def _placeholder(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    if kind == "kept":
        return match[0]
    return kind if kind.isupper() else "#"
