"""The journal of deployments, folded: each deployment's last line, in the order of time. Pure."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from towline.model.catalogue.current_names import AS_THEN, CurrentNames
from towline.model.catalogue.revisions import Uses
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment, Place


class DeploymentBook:
    """The recorded deployments by id."""

    def __init__(self) -> None:
        self._lines: dict[str, ListedDeployment] = {}
        self._places: list[Place] = []
        self._uses: defaultdict[str, Uses] = defaultdict(Uses)
        self._not_summed: defaultdict[str, list[ListedDeployment]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: ListedDeployment) -> None:
        """Takes a line in. One of a deployment that had not ended yet does not replace that of its end."""
        known = self._lines.get(line.deployment_id)
        if known and known.is_final and not line.is_final:
            return
        if known and known.place != line.place:
            self._places.remove(known.place)
        if not known or known.place != line.place:
            insort(self._places, line.place)
        self._lines[line.deployment_id] = line
        self._not_summed[line.application_id].append(line)

    def get(self, deployment_id: str) -> ListedDeployment | None:
        """The line of a deployment."""
        return self._lines.get(deployment_id)

    def uses(self, application_id: str) -> Uses:
        """The uses of an application's revisions; not to be changed."""
        summed = self._uses[application_id]
        for line in self._not_summed.pop(application_id, ()):
            if use := line.as_use():
                summed.add(use)
        return summed

    def newest(self, first: Place, before: Place | None) -> Iterator[ListedDeployment]:
        """The deployments from `first` on, before `before`, the newest first."""
        end = bisect_left(self._places, before) if before else len(self._places)
        for index in range(end - 1, bisect_left(self._places, first) - 1, -1):
            yield self._lines[self._places[index][1]]


def newest(
    book: DeploymentBook,
    others: Mapping[str, ListedDeployment],
    wanted: DeploymentFilter,
    limit: int | None,
    before: Place | None = None,
    names_now: CurrentNames = AS_THEN,
) -> list[ListedDeployment]:
    """The newest deployments of a list that are before a place: the recorded ones, with Temporal's laid over them.

    `others` are those of Temporal that may not be recorded, by id; they were read before the book was, so that what
    has ended in between is in the book.
    """
    before = min((place for place in (before, wanted.end) if place), default=None)
    first = wanted.first
    recorded = (one for one in book.newest(first, before) if one.deployment_id not in others)
    laid_over = (_joined(book.get(one.deployment_id), one) for one in others.values())
    in_range = (one for one in laid_over if one.place >= first and (before is None or one.place < before))
    by_place = sorted(in_range, key=lambda one: one.place, reverse=True)
    every = heapq.merge(by_place, recorded, key=lambda one: one.place, reverse=True)
    return list(islice((one for one in (line.named(names_now) for line in every) if wanted.has(one)), limit))


def _joined(recorded: ListedDeployment | None, in_temporal: ListedDeployment) -> ListedDeployment:
    """A deployment that is open although its end is recorded has a rollback under way."""
    if recorded is None or not recorded.is_final:
        return in_temporal
    return replace(recorded, close_time="") if in_temporal.is_open else recorded
