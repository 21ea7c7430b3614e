"""Renders a deployment report as one self-contained HTML file, without scripts or external resources.

Logs and user input are untrusted: the template escapes everything, and a Content-Security-Policy forbids scripts,
frames, forms and all requests. The style sheet is allowed by its hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from towline.model.deployment.describe import printable
from towline.model.deployment.describe_end import failure_reason, remedies, rollback_result, rollback_sentence
from towline.model.deployment.report import DeploymentReport
from towline.model.deployment.status import Creator
from towline.model.deployment.timeline import Timeline, timeline
from towline.model.messages.view import DeploymentView

_FOLDER = Path(__file__).parent
CAUSES_SHOWN = 3
"""Causes shown in full; the others are folded, up to `CAUSES_LISTED` in all."""
CAUSES_LISTED = 20
NAMED = 60  # instances listed per cause
DETAILED = 400
"""Fleets up to this size show the events of each instance; larger ones only of instances that need attention."""


def render(report: DeploymentReport) -> str:
    """The HTML page of a report."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    lines = timeline(report)
    causes = report.causes
    view = report.view
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            info=view.info,
            progress=view.progress,
            started_by=_started_by(view),
            run=_run(view),
            style=style,
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            timeline=lines,
            height=_height(lines),
            kinds=_kinds(lines),
            causes=causes[:CAUSES_SHOWN],
            more_causes=causes[CAUSES_SHOWN:CAUSES_LISTED],
            causes_hidden=max(0, len(causes) - CAUSES_LISTED),
            why=failure_reason(view),
            fate=rollback_result(view),
            rollback=rollback_sentence(view),
            remedies=remedies(view),
            named=NAMED,
            is_large=len(lines.rows) > DETAILED,
            outcomes=_counted(row.outcome for row in lines.rows),
            after_rollback=_counted(row.after_rollback for row in lines.rows if row.after_rollback),
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

    >>> [seconds_text(s) for s in (0.412, 7.31, 95, 120, 3700, 7200, None)]
    ['0.4 s', '7.3 s', '1 min 35 s', '2 min', '1 h 1 min', '2 h', '']
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def time_text(iso: str) -> str:
    """An ISO 8601 time, shorter.

    >>> time_text("2025-01-01T10:00:09.123456+00:00")
    '2025-01-01 10:00:09 UTC'
    """
    day, _, rest = iso.partition("T")
    zone = " UTC" if rest.endswith(("Z", "+00:00")) else rest[-6:] if len(rest) > 8 and rest[-6] in "+-" else ""
    return f"{day} {rest[:8]}{zone}".strip()


def _clean(value: Any) -> Any:
    """A value to display, without control and bidirectional characters (towline's own mark-up is unchanged)."""
    return "\n".join(printable(line) for line in value.splitlines()) if type(value) is str else value


def _started_by(view: DeploymentView) -> str:
    """The requester of the deployment; towline for a rollback that it started."""
    if view.info.creator is Creator.ROLLBACK:
        return "towline, as a rollback"
    return view.progress.requested_by or view.info.creator


def _run(view: DeploymentView) -> str:
    """The URL of the CI run that started it; empty if there was none or it is not a web URL."""
    address = view.progress.requested_from
    return address if re.match("https?://", address) else ""


def _height(lines: Timeline) -> int:
    """The height of a row's bar in pixels: large fleets get thin ones."""
    return 14 if len(lines.rows) <= 60 else 10 if len(lines.rows) <= DETAILED else 6


def _kinds(lines: Timeline) -> dict[str, int]:
    return {segment.event: segment.kind for row in lines.rows for segment in row.segments}


def _counted(outcomes: Iterable[str]) -> dict[str, int]:
    return dict(Counter(outcomes).most_common())
