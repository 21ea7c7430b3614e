"""A deployment's progress as plain lines, one per change: for CI logs, and wherever there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from towline.cli import render
from towline.cli.output import info
from towline.deployments.instance_status import Live
from towline.model.deployment.describe import counts, printable
from towline.model.deployment.describe_end import failure_reason, rollback_sentence
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase, TargetStatus
from towline.model.messages.view import DeploymentView

EVENTS_UP_TO = 100
"""In larger fleets only how instances end is printed, not each of their events."""
STEPS = 10
"""How often the counts are printed on the way."""


class ProgressLines:
    """Tells what has changed since it was last asked; the lines of a rollback begin with its name for it."""

    pace = 1.0

    def __init__(self, write: Callable[[str], None] = info) -> None:
        self._write = write
        self._printed: dict[tuple[str, str], str] = {}

    def show(self, view: DeploymentView, live: Mapping[str, Live], child: DeploymentView | None = None) -> None:
        """Writes a line for each instance whose state is another than last time, and for the deployment."""
        if child is None:
            self._show(view, live, "")
            return
        whose = child.info.deployment_id
        if (whose, "begun") not in self._printed:
            self._stand(view, "")
            self._printed[(whose, "begun")] = "printed"
            self._line(f"rollback {whose} begins")
        self._show(child, live, "rollback  ")

    def warn(self, text: str) -> None:
        """Writes a warning."""
        self._line(f"warning: {text}")

    def trouble(self, text: str) -> None:
        """Tells once that sight is lost for the moment."""
        self._news(("", "trouble"), text, f"{text}  Waiting; the rollout itself goes on.")

    def close(self, view: DeploymentView, live: Mapping[str, Live]) -> None:
        """Tells what has changed with the end, and what it comes to."""
        self._instances(view, live, "", with_events=False)
        info = view.info
        code = info.error_code
        took = render.duration(render.elapsed(info.start_time, info.complete_time))
        facts = [counts(info, view.progress), f"took {took}" if took else "", rollback_sentence(view).rstrip(".")]
        head = f"{info.status} ({code})" if code else info.status.value
        self._line(f"{head}: {'; '.join(fact for fact in facts if fact)}".rstrip(": "))

    def stop(self) -> None:
        """Nothing to give back."""

    def _show(self, view: DeploymentView, live: Mapping[str, Live], mark: str) -> None:
        is_over = view.info.status in (DeploymentStatus.FAILED, DeploymentStatus.STOPPED) or mark
        if not is_over:
            self._stand(view, mark)
        self._instances(view, live, mark, with_events=len(live) <= EVENTS_UP_TO)
        if is_over:  # what the instances came to is why it stands there
            self._stand(view, mark)

    def _instances(self, view: DeploymentView, live: Mapping[str, Live], mark: str, *, with_events: bool) -> None:
        whose = view.info.deployment_id
        for name, one in live.items():
            text = _state(one, with_events=with_events)
            told = self._printed.get((whose, name), "")
            # Of a shard that has ended there are no times of single instances: then only another outcome is news.
            if text and not (one.outcome and told.startswith(one.outcome.value)):
                self._news((whose, name), text, f"{mark}{name}  {text}")

    def _stand(self, view: DeploymentView, mark: str) -> None:
        """How the deployment stands: why it waits, or its counts, from time to time; `close` prints its end."""
        info, progress = view.info, view.progress
        status = info.status
        key = (info.deployment_id, "")
        if status is DeploymentStatus.SUCCEEDED and not mark:
            return
        text = f"{mark}{status}: {_reason(view)}"
        if _rolls_out(view):
            overview = info.overview
            ended = overview.succeeded + overview.failed
            self._news(key, f"{status} {ended * STEPS // max(1, progress.total)}", text)
        else:
            self._news(key, text, text)

    def _news(self, key: tuple[str, str], told: str, text: str) -> None:
        if self._printed.get(key) != told:
            self._printed[key] = told
            self._line(text)

    def _line(self, text: str) -> None:
        self._write(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


def _state(one: Live, *, with_events: bool) -> str:
    if one.outcome and one.outcome is not Outcome.SKIPPED:
        took = render.duration(render.elapsed(one.start_time, one.end_time)) if one.end_time else ""
        text = f"{one.outcome.value} in {took}" if took else one.outcome.value
        return f"{text}: {printable(one.message)}" if one.message and render.needs_attention(one) else text
    if one.status is not TargetStatus.IN_PROGRESS or not with_events or not one.heartbeat:
        return ""
    beat = one.heartbeat
    return "  ".join(printable(part) for part in (beat.phase, beat.script, beat.note) if part)


def _rolls_out(view: DeploymentView) -> bool:
    progress = view.progress
    return progress.phase is Phase.ROLL_OUT and not (progress.paused or progress.stopping or progress.blocked)


def _reason(view: DeploymentView) -> str:
    """Why it is where it is; while it rolls out its counts, since the lines of the instances tell the rest."""
    if view.info.error_information:
        return f"{view.info.error_code}: {failure_reason(view)}"
    has_counts = _rolls_out(view) or view.info.status is DeploymentStatus.SUCCEEDED
    return counts(view.info, view.progress) if has_counts else render.reason(view)
