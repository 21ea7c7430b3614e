"""What a deployment comes to in words: why it is where it is, its counts, its failures. Pure.

How it ended is told by `describe_end.py`, the Web UI's page by `web_ui.py`. What hosts and people wrote is told without
control characters: a log must not steer a terminal.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from towline.model.deployment.causes import by_cause, failure_of
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import Phase
from towline.model.messages.instance import InstanceOutcome
from towline.model.messages.view import Progress
from towline.model.visible import STEERING

NAMED = 3  # how many names a sentence holds before it says "and 4 more"


def status_reason(progress: Progress) -> str:
    """Why the deployment is where it is, in one sentence for people.

    >>> status_reason(Progress(phase=Phase.ROLL_OUT, in_flight=("web-07",), slots=4, slots_in_use=1))
    'in flight: web-07; 1 of 4 slots in use'
    >>> status_reason(Progress(phase=Phase.ROLL_OUT, in_flight=("web-04", "web-05"), paused="pausing"))
    'pausing, 2 in flight: web-04, web-05'
    >>> status_reason(Progress(phase=Phase.TURN, behind=("d-X", "d-Y")))
    'waits in the queue behind d-X and 1 more'
    >>> status_reason(Progress(phase=Phase.TURN, behind=("d-X",), behind_by="ada@build-7"))
    'waits in the queue behind d-X (ada@build-7)'
    >>> status_reason(Progress(phase=Phase.TURN, behind=("d-X",), paused="paused"))
    'paused; waits in the queue behind d-X'
    """
    if progress.phase is Phase.ENDED:
        return f"ended; rollback incomplete on {names(progress.not_restored)}" if progress.not_restored else "ended"
    if progress.phase is Phase.TURN and progress.behind:
        paused = "paused; " if progress.paused else ""
        first = f" ({one_line(progress.behind_by)})" if progress.behind_by else ""
        more = f" and {len(progress.behind) - 1} more" if len(progress.behind) > 1 else ""
        return f"{paused}waits in the queue behind {progress.behind[0]}{first}{more}"
    if progress.stopping:
        return _with_flight("stopping", progress) or "stopping; nothing is in flight"
    if progress.blocked:
        hint = f" ({one_line(progress.blocked.hint)})" if progress.blocked.hint else ""
        return f"paused: control-plane error: {one_line(progress.blocked.message)}{hint}"
    if progress.paused == "pausing":
        return _with_flight("pausing", progress) or "pausing"
    if progress.paused == "paused":
        return f"paused; {progress.waiting} waiting" if progress.waiting else "paused"
    return _PHASES.get(progress.phase) or _why_rolling(progress)


def hold_reason(held: str, application: str, group: str) -> str:
    """Why a group's queue is held, and what to do.

    >>> hold_reason("the rollback d-back is incomplete on web-03", "shop", "web")
    'the rollback d-back is incomplete on web-03. Repair it, then release the queue: towline release shop/web'
    """
    return f"{held}. Repair it, then release the queue: towline release {application}/{group}"


def failure_line(outcome: InstanceOutcome) -> str:
    """`web-03: AfterInstall failed in scripts/start.sh: exit 1`.

    >>> from towline.model.deployment.status import Outcome
    >>> failure_line(InstanceOutcome(instance="web-03", outcome=Outcome.UNREACHABLE, message="no route"))
    'web-03: unreachable: no route'
    """
    what = outcome.outcome.value
    if outcome.failed_event:
        what = f"{outcome.failed_event} {what}"
    if outcome.script:
        what += f" in {outcome.script}"
    message = outcome.message or (outcome.fault.message if outcome.fault else "")
    return f"{outcome.instance}: {what}" + (f": {one_line(message)}" if message else "")


def failure_lines(failures: Sequence[InstanceOutcome], shown: int = 3, tail: int = 5) -> list[str]:
    """Failures for people, each with the last lines of its log; those of one cause together."""
    alike = by_cause(failures, failure_of)
    lines: list[str] = []
    for together in alike[:shown]:
        lines.append(failure_line(together[0]))
        lines += [f"    {line}" for line in last_lines(together[0].log_tail, tail).splitlines()]
        if together[0].fault and together[0].fault.hint:
            lines.append(f"    {one_line(together[0].fault.hint)}")
        lines += wrapped(same_on(together[1:]))
    if len(alike) > shown:
        lines.append(f"…and {len(alike) - shown} other causes")
    return lines


def same_on(others: Sequence[InstanceOutcome]) -> str:
    """`the same on web-04, web-07`: the other instances of one cause, in the order of names; empty for none."""
    return f"the same on {names(sorted(other.instance for other in others), named=10)}" if others else ""


def wrapped(text: str, width: int = 79) -> list[str]:
    """The text in lines of at most `width` characters that never break inside a name.

    >>> wrapped("the same on web-04, web-07", 20)
    ['the same on web-04,', '    web-07']
    """
    return textwrap.wrap(text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def counts(info: DeploymentInfo, progress: Progress) -> str:
    """`7 of 12 succeeded, 1 failed, 2 in flight, 2 waiting`; empty where it ended before anybody knew the instances."""
    overview = info.deployment_overview
    if not overview:
        return "" if progress.phase is Phase.ENDED else "the instances are not known yet"
    others = {
        "failed": overview.failed,
        "in flight": overview.in_progress,
        "waiting": overview.pending,
        "skipped": overview.skipped,
    }
    first = f"{overview.succeeded} of {progress.total or overview.total} succeeded"
    return ", ".join([first, *(f"{count} {word}" for word, count in others.items() if count)])


def names(every: Sequence[str], count: int = 0, named: int = NAMED) -> str:
    """Some names of many: `web-01, web-02, web-03 and 4 more`; `count` where more exist than are given.

    >>> names(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    if not every:
        return ""
    more = max(count, len(every)) - min(len(every), named)
    return ", ".join(every[:named]) + (f" and {more} more" if more > 0 else "")


def last_lines(text: str, count: int) -> str:
    """The last lines of a log tail, without control characters (a log must not steer a terminal).

    >>> last_lines("a\\nb\\x1b[31m\\nc\\n", 2)
    'b[31m\\nc'
    """
    kept = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")[-count:]
    return "\n".join(printable(line) for line in kept)


def printable(text: str) -> str:
    """One line without control characters and without what turns the writing direction."""
    return _CONTROL.sub("", text.replace("\t", "    "))


def one_line(text: str) -> str:
    """Text on one line, printable."""
    return printable(" ".join(text.split()))


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CONTROL = re.compile(f"[{STEERING}\n]")

_PHASES = {
    Phase.CHECK: "checks the request, the group and the revision",
    Phase.TURN: "takes the group's turn",
    Phase.PLAN: "reads the fleet and its state",
    Phase.ROLL_BACK: "waits for the rollback",
    Phase.RECORD: "writes the report",
}


def _why_rolling(progress: Progress) -> str:
    where = f"zone {progress.zone}: " if progress.zone else ""
    flying = _flight_count(progress)
    kept = max(0, progress.slots_in_use - flying)
    slots = f"{progress.slots_in_use} of {progress.slots} slots in use" if progress.slots else ""
    if kept and slots:
        slots += f", {kept} kept by failed instances"
    named = names(progress.in_flight, flying)
    work = (f"in flight: {named}" if named else f"{flying} in flight") if flying else ""
    if not work:
        work = f"{progress.waiting} to go" if progress.waiting else "about to end"
    return where + "; ".join(part for part in (work, slots) if part)


def _with_flight(word: str, progress: Progress) -> str:
    flying = _flight_count(progress)
    named = names(progress.in_flight, flying)
    return f"{word}, {flying} in flight" + (f": {named}" if named else "") if flying else ""


def _flight_count(progress: Progress) -> int:
    return max(progress.in_flight_count, len(progress.in_flight))
