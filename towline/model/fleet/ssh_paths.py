"""Paths that SSH settings name: they are the worker's, so a worker is asked what they are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from towline.model.base import Message

_NAMES = ("identityFile", "knownHostsFile", "config")


class CheckPaths(Message):
    """Asks a worker about paths, as written."""

    paths: tuple[str, ...]


class PathFinding(Message):
    """What a path is on the worker; `problem` empty: it is there and can be read."""

    path: str
    resolved: str
    problem: str = ""


class PathFindings(Message):
    """The worker's answer; `worker` tells whose."""

    worker: str
    findings: tuple[PathFinding, ...] = ()


def ssh_paths(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The paths that records (catalogue JSON by key) name, each once; those with `{name}` are left out.

    >>> ssh_paths({"ssh/default": {"identityFile": ["~/a", "~/b"], "proxyJump": {"knownHostsFile": "/k"}}})
    ['~/a', '~/b', '/k']
    """
    found: dict[str, None] = {}
    for key, value in records.items():
        settings = value if key.startswith("ssh/") else value.get("ssh")
        for path in _in_settings(settings or {}):
            if "{name}" not in path:
                found[path] = None
    return list(found)


def _in_settings(settings: Mapping[str, Any]) -> Iterable[str]:
    for name in _NAMES:
        given = settings.get(name)
        if isinstance(given, str):
            yield given
        elif isinstance(given, list | tuple):
            yield from given
    if settings.get("proxyJump"):
        yield from _in_settings(settings["proxyJump"])
