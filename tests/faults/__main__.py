"""The fault harness by hand: `python -m tests.faults --seed 7 [--rounds 500] [--fault NAME] [--at INSTANT] …`.

Without `--fault` and `--at` each round's dice choose. A round that shows something wrong prints the command that
repeats it; a table ends the run. Exit status 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.harness import Aim, Harness, Result
from tests.faults.injections import FAULTS, INSTANTS
from tests.faults.site import Site
from tests.faults.temporal import Temporal

MEMORY = Path("/dev/shm")


async def soak(aims: list[Aim], hosts: int) -> list[Result]:
    """Runs the rounds one after the other on one site; ends early when Ctrl-C is pressed."""
    folder = Path(tempfile.mkdtemp(prefix="towline-faults-", dir=MEMORY if MEMORY.is_dir() else None))
    results: list[Result] = []
    async with Temporal(folder) as temporal:
        site = Site(folder, temporal.address, await temporal.connect())
        try:
            harness = await Harness.on(site, temporal, hosts)
            for aim in aims:
                results.append(await harness.run(aim))
                tell(results[-1], hosts)
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("ended early")
        finally:
            site.close()
    if any(result.wrong for result in results):
        print(f"logs and hosts are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def tell(result: Result, hosts: int) -> None:
    """One line per round; what was wrong, and how to see it again."""
    aim = result.aim
    mark = "WRONG" if result.wrong else "ok"
    line = f"{mark:5} {aim.fault:14} at {aim.instant:12} {result.status:9} {result.seconds:5.1f} s  seed {aim.seed}"
    print(line, flush=True)
    for sentence in result.wrong:
        print(f"      {sentence}")
    if result.wrong:
        print(f"      again: {command(aim, hosts)}", flush=True)


def command(aim: Aim, hosts: int) -> str:
    """The command that repeats a round."""
    return f"python -m tests.faults --seed {aim.seed} --fault {aim.fault} --at {aim.instant} --hosts {hosts}"


def table(results: list[Result], seed: int, hosts: int, seconds: float) -> str:
    """What is kept in the docs; all but the first two rows are expected to be 0."""
    faults = collections.Counter(result.aim.fault for result in results)
    rows = {
        "faults injected": len(results),
        "deployments run": sum(result.deployments for result in results),
        "hooks started twice": sum(result.twice for result in results),
        "hosts left unknown": sum(result.unknown for result in results),
        "floor violations": sum(result.floor for result in results),
        "records missing": sum(result.missing for result in results),
        "rounds with anything wrong": sum(bool(result.wrong) for result in results),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    head = f"seed {seed}, {hosts} hosts, {seconds:.0f} s; " + ", ".join(f"{n} {f}" for f, n in sorted(faults.items()))
    return "\n".join([head, "", "| | |", "|---|---|", *lines])


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Breaks rollouts on purpose.")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further one is one higher")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fault", choices=sorted(FAULTS), default="")
    parser.add_argument("--at", choices=sorted(INSTANTS), default="", help="the instant")
    parser.add_argument("--hosts", type=int, default=6)
    options = parser.parse_args()
    began = time.monotonic()
    aims = [Aim(options.seed + number, options.fault, options.at) for number in range(options.rounds)]
    results = asyncio.run(soak(aims, options.hosts))
    print(table(results, options.seed, options.hosts, time.monotonic() - began))
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
