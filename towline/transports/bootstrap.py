"""Installs and starts the runner on a host, in one exec and without a round trip if it is installed already.

The command finds a Python, becomes root, and runs a few lines (`BOOTSTRAP`) that import the runner from a root-owned
folder under its SHA-256, so that Python's bytecode cache makes the start fast. If the file is missing or has another
SHA-256, those lines request it over the connection, verify it and store it. (With the C part of `hashlib`, which takes
0.3 ms to import instead of 3.) The arguments contain no secret.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from dataclasses import dataclass

from towline.host.bootstrap import BOOTSTRAP
from towline.host.join import runner_source

STATE_DIR = "/var/lib/towline"

# `$1` is the runner's SHA-256, `$2` the bootstrap; not `$0`, which a shell puts in front of its error messages.
# The printed line is an event of the host protocol.
_FIND_PYTHON = (
    'for p in {candidates}; do p=$(command -v "$p" 2>/dev/null) && exec {become}"$p" -I -S -c "$2" "$1"; done; '
    'echo "{{\\"kind\\":\\"refused\\",\\"code\\":\\"NoPython\\",'
    '\\"message\\":\\"{missing}\\",'
    '\\"hint\\":\\"Install python3 on the host, or name it as ssh.python.\\"}}"'
)


@dataclass(frozen=True)
class Runner:
    """The program that is sent to hosts, and the SHA-256 that is its name there."""

    source: bytes
    sha256: str

    @classmethod
    def of(cls, source: bytes) -> Runner:
        """The runner with this source."""
        return cls(source, hashlib.sha256(source).hexdigest())


@functools.cache
def packaged_runner() -> Runner:
    """The runner that belongs to this version of towline."""
    return Runner.of(runner_source().encode())


def start_command(sha256: str, *, python: str | None = None, launcher: str | None = None, become_root: bool) -> str:
    """The command to exec on a host: one line, so that any login shell can parse it.

    Args:
        sha256: of the runner.
        python: the interpreter on the host; None: python3, else RHEL's platform-python.
        launcher: a root-owned launcher on the host (deploy/towline-launcher) to run instead.
        become_root: use `sudo -n`; False for root, or for a user with sufficient permissions.

    >>> start_command("ab", launcher="/usr/local/sbin/towline-launcher", become_root=True)
    "exec /bin/sh -c 'exec sudo -n /usr/local/sbin/towline-launcher ab'"
    """
    become = "sudo -n " if become_root else ""
    if launcher:
        return f"exec /bin/sh -c {shlex.quote(f'exec {become}{shlex.quote(launcher)} {sha256}')}"
    candidates = shlex.quote(python) if python else "python3 /usr/libexec/platform-python"
    # named only if plain: the text goes through two shells
    named = f" ({python})" if python and re.fullmatch("[A-Za-z0-9/._-]+", python) else ""
    missing = (
        f"the interpreter that ssh.python names is not there{named}" if python else f"no Python 3; sought: {candidates}"
    )
    script = _FIND_PYTHON.format(candidates=candidates, become=become, missing=missing)
    return f"exec /bin/sh -c {shlex.quote(script)} towline {sha256} {shlex.quote(f'exec({BOOTSTRAP!r})')}"
