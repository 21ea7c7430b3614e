"""A deployment's progress as plain lines, one per change: for CI logs, and wherever there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from towline.cli import render
from towline.cli.say import say
from towline.live import Live
from towline.model.messages import DeploymentView
from towline.model.status import Outcome, TargetStatus
from towline.model.telling import printable

EVENTS_UP_TO = 100
"""In larger fleets only how instances end is told, not each of their events."""


class ProgressLines:
    """Tells what has changed since it was last asked."""

    pace = 1.0

    def __init__(self, write: Callable[[str], None] = say) -> None:
        self._write = write
        self._told: dict[tuple[str, str], str] = {}
        self._reason = ""

    def show(self, view: DeploymentView, live: Mapping[str, Live], child: DeploymentView | None = None) -> None:
        """Writes a line for the deployment and for each instance whose state is another than last time."""
        shown = child or view
        whose = shown.info.get("deploymentId", "")
        if child and (whose, "") not in self._told:
            self._told[(whose, "")] = "begun"
            self._line(f"rollback {whose} begins")
        reason = f"{shown.info.get('status', '')}: {_without_names(shown)}"
        if reason != self._reason:
            self._reason = reason
            self._line(reason)
        for name, one in live.items():
            text = _state(one, with_events=len(live) <= EVENTS_UP_TO)
            if text and self._is_news((whose, name), one, text):
                self._told[(whose, name)] = text
                self._line(f"{name}  {text}")

    def warn(self, text: str) -> None:
        """Writes a warning."""
        self._line(f"warning: {text}")

    def trouble(self, text: str) -> None:
        """Tells once that sight is lost for the moment."""
        if text != self._reason:
            self._reason = text
            self._line(f"{text}  Waiting; the rollout itself goes on.")

    def close(self, view: DeploymentView, live: Mapping[str, Live]) -> None:
        """Tells what has changed with the end."""
        whose = view.info.get("deploymentId", "")
        for name, one in live.items():
            text = _state(one, with_events=False)
            if one.outcome and text and self._is_news((whose, name), one, text):
                self._line(f"{name}  {text}")
        if skipped := sum(one.status is TargetStatus.SKIPPED for one in live.values()):
            self._line(f"{skipped} skipped: never begun")

    def stop(self) -> None:
        """Nothing to give back."""

    def _is_news(self, whose: tuple[str, str], one: Live, text: str) -> bool:
        """Of a shard that has ended there are no times of single instances: then only another outcome is news."""
        told = self._told.get(whose, "")
        return told != text and not (one.outcome and told.startswith(one.outcome.value))

    def _line(self, text: str) -> None:
        self._write(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


def _state(one: Live, *, with_events: bool) -> str:
    if one.outcome and one.outcome is not Outcome.SKIPPED:
        took = render.duration(render.elapsed(one.start_time, one.end_time)) if one.end_time else ""
        text = f"{one.outcome.value} in {took}" if took else one.outcome.value
        return f"{text}: {printable(one.message)}" if one.message and render.is_bad(one) else text
    if one.status is not TargetStatus.IN_PROGRESS or not with_events or not one.heartbeat:
        return ""
    beat = one.heartbeat
    return "  ".join(printable(part) for part in (beat.phase, beat.script, beat.note) if part)


def _without_names(view: DeploymentView) -> str:
    """The reason where it is news; while it rolls out, the lines of the instances tell it."""
    progress = view.progress
    if error := view.info.get("errorInformation"):
        return str(error.get("code", ""))
    is_usual = progress.phase == "roll out" and not (progress.paused or progress.stopping or progress.blocked)
    return "rolls out" if is_usual else render.reason(view)
