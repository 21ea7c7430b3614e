"""Zonal configuration: one zone after the other, each under its own floor and the fleet's.

Zones go in the order of their names, unnamed ones first; after each but the last the rollout waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from towline.model.base import Message
from towline.model.group.config import DeploymentConfig
from towline.model.messages.fleet import FleetMember
from towline.model.rollout.health import floor_of


class Stage(Message):
    """A part of the fleet that is rolled out before the next begins: a zone, or everything."""

    zone: str = ""
    members: tuple[FleetMember, ...]
    slots: int  # most instances out of service in this stage
    spare_healthy: int  # healthy members above the stage's own floor
    monitor_seconds: int = 0  # to wait after it


def stages(config: DeploymentConfig, members: Sequence[FleetMember], *, use_zones: bool = True) -> list[Stage]:
    """Cuts a fleet in rollout order into stages. A rollback ignores zones (`use_zones` False).

    A stage's floor comes from `minimumHealthyHostsPerZone` (default: none); the fleet's own floor holds besides.
    """
    zonal = config.zonal_config if use_zones else None
    if zonal is None:
        return [Stage(members=tuple(members), slots=len(members), spare_healthy=len(members))]
    names = sorted({member.zone for member in members})
    result = []
    for position, zone in enumerate(names):
        inside = tuple(member for member in members if member.zone == zone)
        rule = zonal.minimum_healthy_hosts_per_zone
        floor = floor_of(rule, len(inside)) if rule else 0
        monitor = zonal.monitor_duration_in_seconds or 0
        if position == 0 and zonal.first_zone_monitor_duration_in_seconds is not None:
            monitor = zonal.first_zone_monitor_duration_in_seconds
        result.append(
            Stage(
                zone=zone,
                members=inside,
                slots=len(inside) - floor,
                spare_healthy=sum(member.is_healthy for member in inside) - floor,
                monitor_seconds=monitor if position < len(names) - 1 else 0,
            )
        )
    return result
