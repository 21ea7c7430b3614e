"""Paths that SSH settings name: they are the worker's, so a worker is asked what they are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from towline.model.base import Message

MISSING = "is missing"

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


def ssh_paths(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The paths that records (catalogue JSON by key) name, with the key that names each; not those with `{name}`.

    >>> ssh_paths({"ssh/default": {"identityFile": ["~/a"], "proxyJump": {"knownHostsFile": "/k"}}})
    {'~/a': 'identityFile', '/k': 'knownHostsFile'}
    """
    found: dict[str, str] = {}
    for key, value in records.items():
        settings = value if key.startswith("ssh/") else value.get("ssh")
        for path, name in _in_settings(settings or {}):
            if "{name}" not in path:
                found.setdefault(path, name)
    return found


def mend_of(key: str, path: str) -> str:
    """The command that makes a missing file, for the machine of the worker; empty for a configuration file.

    >>> mend_of("knownHostsFile", "/etc/towline/known_hosts")
    'ssh-keyscan HOST >> /etc/towline/known_hosts, and compare the fingerprints'
    """
    mends = {
        "identityFile": f"ssh-keygen -t ed25519 -N '' -f {path}",
        "knownHostsFile": f"ssh-keyscan HOST >> {path}, and compare the fingerprints",
    }
    return mends.get(key, "")


def _in_settings(settings: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name in _NAMES:
        given = settings.get(name)
        if isinstance(given, str):
            yield given, name
        elif isinstance(given, list | tuple):
            yield from ((path, name) for path in given)
    if settings.get("proxyJump"):
        yield from _in_settings(settings["proxyJump"])
