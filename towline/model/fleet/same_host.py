"""Detection of one host declared under several names, by its address or its answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from towline.model.fleet.instance import InstanceRecord, Target
from towline.model.fleet.targets import NamedSshSettings, target_of
from towline.model.rollout.order import natural


def place_of(target: Target) -> str:
    """The address of a target, equal for two names of one host; empty if unknown.

    >>> from towline.model.fleet.instance import SshAccess
    >>> place_of(Target(name="web-01", access=SshAccess(host="10.0.0.1")))
    '10.0.0.1 port 22'
    """
    if target.local:
        return f"{target.local.root.rstrip('/') or '/'} on {target.local.host or 'the worker'}"
    if not target.ssh:
        return ""
    jump = target.ssh.proxy_jump
    behind = f" behind {jump.host} port {jump.port}" if jump else ""
    return f"{(target.ssh.host or target.name).lower()} port {target.ssh.port or 22}{behind}"


def shared(places: Mapping[str, str]) -> dict[str, list[str]]:
    """The places shared by several names, with these names in order.

    >>> shared({"web-10": "a", "web-2": "a", "db": "b", "x": "", "y": ""})
    {'a': ['web-2', 'web-10']}
    """
    by_place: dict[str, list[str]] = {}
    for name in sorted(places, key=natural):
        if places[name]:
            by_place.setdefault(places[name], []).append(name)
    return {place: names for place, names in by_place.items() if len(names) > 1}


def once_each(targets: Mapping[str, Target]) -> tuple[dict[str, Target], list[str]]:
    """The targets without duplicate names of a host, and a warning per such host: rollouts count hosts, not names."""
    twice = shared({name: place_of(target) for name, target in targets.items()})
    left_out = {name for names in twice.values() for name in names[1:]}
    warnings = [f"{_are_one(names, place)}; it is deployed to once, as {names[0]}" for place, names in twice.items()]
    return {name: target for name, target in targets.items() if name not in left_out}, warnings


def declared_twice(after: Mapping[str, Mapping[str, Any]], members: Iterable[str]) -> list[str]:
    """A warning for each host that a group has under several names, by the catalogue's records (`after`, by key)."""
    named = {
        key.partition("/")[2]: NamedSshSettings.model_validate(value)
        for key, value in after.items()
        if key.startswith("ssh/")
    }
    records = (InstanceRecord.model_validate(after[f"instance/{name}"]) for name in members)
    places = {record.instance_name: place_of(target_of(record, named)) for record in records}
    return [_are_one(names, place) for place, names in shared(places).items()]


def _are_one(names: list[str], place: str) -> str:
    """`web-01 and web-02 are one host: 10.0.0.1 port 22`."""
    return f"{', '.join(names[:-1])} and {names[-1]} are one host: {place}"
