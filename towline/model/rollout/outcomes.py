"""What instances' outcomes say together. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from towline.model.messages.instance import InstanceOutcome
from towline.model.messages.shard import RunsNow


def runs_now(outcomes: Iterable[InstanceOutcome]) -> tuple[RunsNow, ...]:
    """What hosts said that they run, by revision; those that did not say are left out."""
    found: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        if outcome.now:
            found.setdefault((outcome.now.label, outcome.now.sha256), []).append(outcome.instance)
    return tuple(RunsNow(label=label, sha256=sha, instances=tuple(names)) for (label, sha), names in found.items())
