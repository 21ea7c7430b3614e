"""Messages to check the paths in SSH settings: they are on the worker, so a worker checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from towline.model.base import Message

MISSING = "is missing"

_NAMES = ("identityFile", "knownHostsFile", "config")


class CheckPaths(Message):
    """A request to check paths, as written."""

    paths: tuple[str, ...]


class PathFinding(Message):
    """The state of a path on the worker; `problem` is empty if it is readable."""

    path: str
    resolved: str
    problem: str = ""


class PathFindings(Message):
    """The answer of the worker named in `worker`."""

    worker: str
    findings: tuple[PathFinding, ...] = ()


def ssh_paths(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The paths that records (catalogue JSON by key) name, with the key of each; without those that contain `{name}`.

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
    """The command that creates a missing file on the worker's machine; empty for a configuration file.

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
