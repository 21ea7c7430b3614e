"""The report's page: one self-contained HTML file, without scripts and without anything from elsewhere.

What a log or a person wrote is only ever text here: the template escapes everything, and a Content-Security-Policy
forbids scripts, frames, forms and every address. The one style sheet is allowed by its hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from towline.model.report import Row, Timeline, timeline
from towline.model.telling import printable
from towline.model.view import label_of

_FOLDER = Path(__file__).parent
CAUSES_SHOWN = 20
NAMED = 60  # of the instances with one cause
DETAILED = 400
"""Fleets up to this size show each instance's events in full; larger ones only those of instances that need a look."""


def render(report: Mapping[str, Any]) -> str:
    """The page of a report as `towline.model.report.merge` makes it."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    lines = timeline(report)
    causes = _causes(row for row in lines.rows if row.is_bad)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            info=report["deploymentInfo"],
            progress=report.get("progress", {}),
            revision=label_of(report["deploymentInfo"].get("revision")),
            previous=label_of(report["deploymentInfo"].get("previousRevision")),
            style=style,
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            timeline=lines,
            height=_height(lines),
            kinds=_kinds(lines),
            causes=causes[:CAUSES_SHOWN],
            causes_hidden=max(0, len(causes) - CAUSES_SHOWN),
            named=NAMED,
            is_large=len(lines.rows) > DETAILED,
            outcomes=_outcomes(lines),
        )
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = seconds_text
    environment.filters["time"] = time_text
    return environment


def seconds_text(seconds: float | None) -> str:
    """A duration for people.

    >>> [seconds_text(s) for s in (0.412, 7.31, 95, 3700, None)]
    ['0.4 s', '7.3 s', '1 min 35 s', '1 h 1 min', '']
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def time_text(iso: str) -> str:
    """An ISO 8601 time, shorter.

    >>> time_text("2025-01-01T10:00:09.123456+00:00")
    '2025-01-01 10:00:09 UTC'
    """
    day, _, rest = iso.partition("T")
    zone = " UTC" if rest.endswith(("Z", "+00:00")) else rest[-6:] if len(rest) > 8 and rest[-6] in "+-" else ""
    return f"{day} {rest[:8]}{zone}".strip()


def _clean(value: Any) -> Any:
    """Whatever is shown, without control characters and what turns the writing direction (our own mark-up aside)."""
    return "\n".join(printable(line) for line in value.splitlines()) if type(value) is str else value


@dataclass(frozen=True)
class Cause:
    """Why instances did not succeed: told once, however many it hit."""

    outcome: str
    event: str
    script: str
    message: str
    log: str
    names: list[str] = field(default_factory=list, compare=False)


def _causes(rows: Iterable[Row]) -> list[Cause]:
    """The causes, those of most instances first."""
    found: dict[Cause, list[str]] = {}
    for row in rows:
        event = next((event for event in row.events if event.get("status") == "Failed"), {})
        told = event.get("diagnostics", {})
        cause = Cause(
            outcome=row.outcome,
            event=event.get("lifecycleEventName", ""),
            script=told.get("scriptName", ""),
            message=told.get("message", "") or row.note,
            log=told.get("logTail", ""),
        )
        found.setdefault(cause, cause.names).append(row.name)
    return sorted(found, key=lambda cause: -len(cause.names))


def _height(lines: Timeline) -> int:
    """Of a row's bar in pixels: large fleets get thin ones."""
    return 14 if len(lines.rows) <= 60 else 10 if len(lines.rows) <= DETAILED else 6


def _kinds(lines: Timeline) -> dict[str, int]:
    return {segment.event: segment.kind for row in lines.rows for segment in row.segments}


def _outcomes(lines: Timeline) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in lines.rows:
        found[row.outcome] = found.get(row.outcome, 0) + 1
    return found
