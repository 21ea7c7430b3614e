"""How deployments look in a terminal without rich: status, lists, the start and the end of a deployment."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

from towline.cli.columns import GAP, cells, fitted
from towline.cli.output import has_colour
from towline.deployments.instance_status import Live
from towline.model.deployment.describe import counts, failure_lines, printable, status_reason
from towline.model.deployment.describe_end import failure_reason, remedies, rollback_result, rollback_sentence
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import ErrorCode, Outcome, Phase, TargetStatus
from towline.model.messages.view import DeploymentView, Progress

COLOURS = {
    "Succeeded": "green",
    "succeeded": "green",
    "Failed": "red",
    "failed": "red",
    "unreachable": "red",
    "interrupted": "red",
    "not restored": "red",
    "Stopped": "yellow",
    "stopped": "yellow",
    "rolled back": "yellow",
    "InProgress": "cyan",
    "in progress": "cyan",
}
SHOWN = 60
"""Instances in a status that goes to no terminal: of a larger fleet those in flight and those that failed."""
LEAST_SHOWN = 5
"""Instances in a status, however low the screen is."""


def headline(view: DeploymentView) -> str:
    """`d-1  shop/production  InProgress  s3://releases/shop.tgz`."""
    info = view.info
    parts = [info.deployment_id, info.full_name, coloured(info.status), info.subject]
    return "  ".join(part for part in parts if part)


def reason(view: DeploymentView) -> str:
    """Why it is where it is."""
    return view.progress.text or status_reason(view.progress)


def status_lines(
    view: DeploymentView,
    live: Mapping[str, Live],
    now: datetime | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
) -> list[str]:
    """The whole of `towline status`: what it comes to, then the instances, as many as the screen has room for."""
    info, progress = view.info, view.progress
    lines = [headline(view)]
    facts = [info.deployment_config_name, _times(info), info.description]
    lines.append("  ".join(fact for fact in facts if fact))
    if asked := asked_by(progress):
        lines.append(asked)
    lines += [line for line in (counts(info, progress), "" if _is_final(view) else reason(view)) if line]
    lines += ending_lines(view) if _is_final(view) else next_steps(view)
    above = sum(max(1, -(-cells(line) // width)) for line in lines) if width else len(lines)
    room = SHOWN if height is None else max(LEAST_SHOWN, height - above - 4)  # blank, the rest, its hint, the prompt
    shown = _worth_showing(live, room)
    if shown:
        rows = instance_rows(shown, width, now)
        lines += ["", *(GAP.join(map(coloured, row)).rstrip() for row in rows)]
    if len(shown) < len(live):
        names = {one.name for one in shown}
        rest = tally([one for name, one in live.items() if name not in names])
        lines += [f"not shown: {rest}", f"every instance: towline status {info.deployment_id} --json"]
    return lines


def asked_by(progress: Progress) -> str:
    """Who asked for it, and the CI run from which; empty where that is not known."""
    parts = [f"by {progress.requested_by}" if progress.requested_by else "", progress.requested_from]
    return printable("  ".join(part for part in parts if part))


def instance_rows(every: Iterable[Live], width: int | None = None, now: datetime | None = None) -> list[list[str]]:
    """Instances as columns that fit the screen: names, states and events keep their width, only the note is cut."""
    return fitted([row(one, now) for one in every], width, [4, 3])


def tally(every: Iterable[Live]) -> str:
    """How many stand how: `40 succeeded, 3 in progress, 8 waiting`."""
    words = [one.outcome.value if one.outcome else _WORDS.get(one.status, one.status.value) for one in every]
    order = [Outcome.SUCCEEDED.value, "in progress", "waiting"]
    counted = sorted(Counter(words).items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))
    return ", ".join(f"{count} {word}" for word, count in counted)


def ending_lines(view: DeploymentView) -> list[str]:
    """How a deployment ended, for people: cause, failures with their last lines, rollback, report."""
    info, progress = view.info, view.progress
    lines = []
    if info.error_information:
        lines.append(f"{info.error_code}: {failure_reason(view)}  {hint(view)}".rstrip())
    lines += failure_lines(progress.failures)
    if any(failure.was_touched or failure.log_tail for failure in progress.failures):  # else there is no log
        lines.append(f"all of what they wrote: towline logs {info.deployment_id} --failed")
    lines += remedies(view)
    if sentence := rollback_sentence(view):
        lines.append(sentence)
    if fate := rollback_result(view):
        lines.append(fate)
    lines += [f"warning: {printable(warning)}" for warning in progress.warnings]
    if progress.report:
        lines.append(f"report: {progress.report}")
    return lines


def next_steps(view: DeploymentView) -> list[str]:
    """What a person has to do so that a deployment that stands goes on."""
    return [f"Go on with: towline resume {view.info.deployment_id}"] if view.progress.paused else []


def hint(view: DeploymentView) -> str:
    """The next command after some of CodeDeploy's error codes, whose own words name none."""
    info = view.info
    group = f"{info.application_name or 'APP'}/{info.deployment_group_name or 'GROUP'}"
    hints: dict[str, str] = {
        ErrorCode.NO_INSTANCES: f"Who is in it: towline instances {group}",
        ErrorCode.HEALTH_CONSTRAINTS_INVALID: "Deploy with another configuration: --config NAME",
        ErrorCode.DEPLOYMENT_LIMIT: "Wait in order with: --if-busy wait",
    }
    return hints.get(info.error_code, "")


def row(one: Live, now: datetime | None = None) -> tuple[str, str, str, str, str]:
    """One instance: name, state, event or phase, script, seconds, and what it waits for."""
    beat = one.heartbeat
    state = one.outcome.value if one.outcome else _WORDS.get(one.status, one.status.value)
    doing = beat.phase if beat else ""
    detail = (beat.note or beat.script) if beat else one.message
    return (one.name, state, doing, _seconds(one, now), printable(detail).removeprefix(_AGENTS_WORDS))


def table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], width: int | None = None, flexible: Sequence[int] = ()
) -> list[str]:
    """Rows in columns under their headers, fitted to the screen; words of state in colour."""
    filled = [column for column in range(len(headers)) if any(row[column] for row in rows)]
    every = [[line[column] for column in filled] for line in (headers, *rows)]
    places = [filled.index(column) for column in flexible if column in filled]
    return [GAP.join(map(coloured, line)).rstrip() for line in fitted(every, width, places)]


def coloured(text: str) -> str:
    """A word of state in its colour, where stdout has colour."""
    colour = COLOURS.get(text.strip())
    return click.style(text, fg=colour) if colour and has_colour(sys.stdout) else text


def clock(iso: str) -> str:
    """A time of day, local: `14:03:09`; empty for none."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""


def day_and_clock(iso: str) -> str:
    """A local day and time: `2025-01-01 14:03:09`."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return ""


def elapsed(start: str, end: str = "", now: datetime | None = None) -> float | None:
    """Seconds from a time to another, or to now; None where the first is not known."""
    try:
        first = datetime.fromisoformat(start)
        last = datetime.fromisoformat(end) if end else (now or datetime.now(UTC))
    except ValueError:
        return None
    return max(0.0, (last - first).total_seconds())


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 05 s`."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def needs_attention(one: Live) -> bool:
    """Whether a person may want to look at it."""
    return one.outcome is not None and one.outcome.needs_attention


_AGENTS_WORDS = "Script at specified location: "  # with which CodeDeploy's agent begins what failed in a script
_WORDS = {TargetStatus.IN_PROGRESS: "in progress", TargetStatus.PENDING: "waiting", TargetStatus.SKIPPED: "skipped"}


def _worth_showing(live: Mapping[str, Live], room: int) -> list[Live]:
    """All, or, where there is no room for all: those that went wrong and those in flight."""
    if len(live) <= room:
        return list(live.values())
    chosen = [one for one in live.values() if needs_attention(one)]
    chosen += [one for one in live.values() if one.status is TargetStatus.IN_PROGRESS and not needs_attention(one)]
    return chosen[:room]


def _seconds(one: Live, now: datetime | None) -> str:
    if one.status is TargetStatus.IN_PROGRESS or one.end_time:
        return duration(elapsed(one.start_time, one.end_time, now))
    return ""


def _times(info: DeploymentInfo) -> str:
    began, ended = info.start_time or info.create_time, info.complete_time
    if not began:
        return ""
    words = f"began {day_and_clock(began)}"
    return f"{words}, took {duration(elapsed(began, ended))}" if ended else f"{words}, {duration(elapsed(began))} ago"


def _is_final(view: DeploymentView) -> bool:
    return view.progress.phase in (Phase.ENDED, Phase.RECORD)


def joined(lines: Iterable[str]) -> str:
    """Lines as one text."""
    return "\n".join(lines)
