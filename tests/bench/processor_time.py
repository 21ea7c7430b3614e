"""Processor time (user and system) of a deployment's parts: comparable on a busy machine, where wall time is not.

Hosts share this machine's cores with all else, so most of a rollout's wall time is processor time divided by cores.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

from tests.harness.fleet.box import Fleet

TICKS = os.sysconf("SC_CLK_TCK")


def read(fleet: Fleet, up: int) -> dict[str, float]:
    """Seconds used so far by part; `up` is the process of `towline up`, and commands are children of this process.

    A host's sshd is its process 1, which collects all that ends there.
    """
    commands = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "hosts": _seconds(host.pid for host in fleet),
        "worker": _seconds([up]),
        "Temporal": _seconds(_children(up)),
        "command": commands.ru_utime + commands.ru_stime,
    }


def difference(before: dict[str, float], after: dict[str, float]) -> str:
    """What was used in between: `hosts 3.11 s, worker 0.81 s, ...`."""
    return ", ".join(f"{part} {after[part] - before[part]:.2f} s" for part in after)


def _seconds(pids: Iterable[int]) -> float:
    """Of processes with their children that have ended: utime, stime, cutime, cstime of proc(5)."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(number) for one in fields for number in one[11:15]) / TICKS


def _children(pid: int) -> list[int]:
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in found for child in children]
