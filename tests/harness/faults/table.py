"""What a soak prints: a line per round, the command that repeats a round, and the table at its end."""

from __future__ import annotations

import argparse
import collections
from collections.abc import Iterable
from pathlib import Path

from tests.harness.faults.rounds import Aim, Harness, Result


def tell(result: Result, options: argparse.Namespace) -> None:
    """One line per round; what was wrong, and how to see it again."""
    mark = "WRONG" if result.wrong else "ok"
    done = ", ".join(f"{fault} at {instant}" for fault, instant in result.injected) or f"nothing of {result.aim.faults}"
    print(f"{mark:5} {result.aim.seed} {result.status:9} {result.seconds:5.1f} s  {done}", flush=True)
    for sentence in result.wrong:
        print(f"      {sentence}")
    if result.wrong:
        print(f"      again: {command(result.aim, options.hosts, box=options.box)}", flush=True)


def command(aim: Aim, hosts: int, *, box: bool = False) -> str:
    """The command that repeats a round."""
    pairs = " ".join(f"--fault {fault} --at {at}" for fault, at in aim.faults)
    return f"python -m tests.harness.faults --seed {aim.seed} {pairs} --hosts {hosts}{' --box' if box else ''}"


class Memory:
    """What workers and Temporal use, at the beginning and at the end."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._before = self._now()

    def rows(self) -> dict[str, str]:
        """For the table; workers are replaced all the time, so that the most that any ever used stands there, too."""
        (workers, server), (workers_then, server_then) = self._now(), self._before
        most = self._harness.most_memory
        return {
            "memory of a worker": f"{workers_then:.0f} MiB, at the end {workers:.0f} MiB, at most {most:.0f} MiB",
            "memory of Temporal": f"{server_then:.0f} MiB, at the end {server:.0f} MiB",
        }

    def _now(self) -> tuple[float, float]:
        site, server = self._harness.site, self._harness.temporal.server
        assert server
        told = Path(f"/proc/{server.process.pid}/status").read_text().split()
        return max(worker.memory() for worker in site.workers), int(told[told.index("VmRSS:") + 1]) / 1024


def table(results: list[Result], options: argparse.Namespace, seconds: float, memory: dict[str, str]) -> str:
    """What is kept in the docs; all but the first two rows and the last ones are expected to be 0."""
    injected = [pair for result in results for pair in result.injected]
    rows = {
        "faults injected": len(injected),
        "deployments run": sum(result.deployments for result in results),
        "hooks started twice": sum(result.twice for result in results),
        "hosts left unknown": sum(result.unknown for result in results),
        "floor violations": sum(result.floor for result in results),
        "records missing": sum(result.missing for result in results),
        "rounds with anything wrong": sum(bool(result.wrong) for result in results),
        **memory,
        "faults": _counted(fault for fault, _ in injected),
        "instants": _counted(instant for _, instant in injected),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    words = f"--seed {options.seed} --rounds {len(results)} --hosts {options.hosts} --faults {options.faults}"
    head = f"{words}{' --box' if options.box else ''}: {len(results)} rounds, {seconds:.0f} s"
    return "\n".join([head, "", "| | |", "|---|---|", *lines])


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in collections.Counter(names).most_common())
