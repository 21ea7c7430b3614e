"""In which order a rollout goes through its instances.

First those that a rollback could not restore, then unhealthy, unknown, old and current ones; inside a rank the zones
take turns, and a zone's instances go by name. The same input always gives the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from towline.model.messages.group import InstanceState


class Rank(IntEnum):
    """What an instance is before the deployment; a lower one goes earlier."""

    NOT_RESTORED = 0
    UNHEALTHY = 1
    UNKNOWN = 2
    OLD = 3
    CURRENT = 4


@dataclass(frozen=True)
class Standing:
    """An instance as far as its place in the order goes."""

    name: str
    zone: str
    rank: Rank


def rank(state: InstanceState | None, label: str, sha256: str) -> Rank:
    """The rank of an instance by what its group knows of it and the group's last successful revision.

    >>> rank(None, "s3://b/app.tgz", "ab")
    <Rank.UNKNOWN: 2>
    """
    if state is None:
        return Rank.UNKNOWN
    if state.not_restored:
        return Rank.NOT_RESTORED
    if not state.is_healthy:
        return Rank.UNHEALTHY
    if not state.sha256 and not state.revision:
        return Rank.UNKNOWN
    is_same = state.sha256 == sha256 if state.sha256 and sha256 else state.revision == label
    return Rank.CURRENT if is_same else Rank.OLD


def ordered(instances: Iterable[Standing], first: Sequence[str] = ()) -> list[str]:
    """The names in rollout order; those of `first` go first, in its order, whatever their rank.

    >>> here = [Standing("w10", "a", Rank.OLD), Standing("w9", "a", Rank.OLD), Standing("w1", "b", Rank.OLD)]
    >>> ordered(here)
    ['w9', 'w1', 'w10']
    >>> ordered([*here, Standing("w7", "a", Rank.UNHEALTHY)], first=["w10"])
    ['w10', 'w7', 'w9', 'w1']
    """
    by_name = {instance.name: instance for instance in instances}
    early = [name for name in dict.fromkeys(first) if name in by_name]
    taken = set(early)
    rest = [instance for name, instance in by_name.items() if name not in taken]
    names = list(early)
    for this_rank in Rank:
        names.extend(_zones_in_turn([instance for instance in rest if instance.rank == this_rank]))
    return names


def _zones_in_turn(instances: list[Standing]) -> list[str]:
    """Zones by name, each giving its next instance in turn; a zone that has none left is passed over."""
    zones: dict[str, list[str]] = {}
    for instance in instances:
        zones.setdefault(instance.zone, []).append(instance.name)
    turns = [
        (turn, number, name)
        for number, zone in enumerate(sorted(zones, key=natural))
        for turn, name in enumerate(sorted(zones[zone], key=natural))
    ]
    return [name for _, _, name in sorted(turns)]


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key by which numbers in names count as numbers.

    >>> sorted(["web-10", "web-9", "web-09", "db-1"], key=natural)
    ['db-1', 'web-09', 'web-9', 'web-10']
    """
    return tuple(
        (0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    )
