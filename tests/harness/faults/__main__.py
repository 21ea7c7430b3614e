"""The fault harness by hand.

    python -m tests.harness.faults --seed 7 [--rounds 500] [--hosts 40] [--faults 4] [--box] …

Dice choose each round's faults and instants, as far as `--fault` and `--at` (each as often as wanted) do not. A round
that shows something wrong prints the command that repeats it; a table ends the run. Exit status 1 where anything was
wrong. `--box` takes hosts of the fleet in a box, with real sshd, and has the network's faults and power cuts as well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.harness.faults.injections import FAULTS, faults_for
from tests.harness.faults.instances import BoxHost, Instance, LocalHost
from tests.harness.faults.instants import INSTANTS
from tests.harness.faults.rounds import Aim, Harness, Result
from tests.harness.faults.site import FaultSite
from tests.harness.faults.source import source
from tests.harness.faults.table import Memory, command, table, tell
from tests.harness.faults.temporal import Temporal
from tests.harness.fleet.box import Fleet

MEMORY = Path("/dev/shm")
SSH = {"connect_timeout_seconds": 2.0, "unreachable_after_seconds": 10.0}


@contextlib.asynccontextmanager
async def standing(folder: Path, hosts: int, *, box: bool = False) -> AsyncIterator[Harness]:
    """A harness with everything that it stands on."""
    with contextlib.ExitStack() as stack:
        instances: list[Instance] = []
        address = "127.0.0.1"
        if box:
            fleet = stack.enter_context(Fleet(hosts, relayed=True))
            address = f"10.213.{fleet.number}.1"
            instances += [BoxHost(fleet, host, **SSH) for host in fleet]
        else:
            instances += [LocalHost(f"web-{n}", folder / f"hosts/web-{n}") for n in range(1, hosts + 1)]
        bucket = stack.enter_context(source(address))
        async with Temporal(folder) as temporal:
            site = FaultSite.at(folder, temporal.address, await temporal.connect())
            stack.callback(site.close)
            async with Harness.on(site, temporal, bucket, instances) as harness:
                yield harness


async def soak(options: argparse.Namespace) -> int:
    """Runs the rounds one after the other on one site, prints the table; the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="towline-faults-", dir=MEMORY if MEMORY.is_dir() else None))
    results: list[Result] = []
    if task := asyncio.current_task():  # told to end, it tidies up as after Ctrl-C
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()
    pairs = tuple(itertools.zip_longest(options.fault, options.at, fillvalue=""))
    async with standing(folder, options.hosts, box=options.box) as harness:
        memory = Memory(harness)
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            for number in range(options.rounds):
                aim = Aim(options.seed + number, pairs).resolved(options.faults, box=options.box)
                results.append(await harness.run(aim))
                tell(results[-1], options)
                if options.minutes and time.monotonic() - began > options.minutes * 60:
                    break
        print(table(results, options, time.monotonic() - began, memory.rows()))
    is_wrong = any(result.wrong for result in results)
    if is_wrong:
        print(f"logs and hosts are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if is_wrong else 0


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.faults", description="Breaks rollouts on purpose.")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further one is one higher")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="begin no round after so long")
    parser.add_argument("--fault", choices=sorted(FAULTS), action="append", default=[])
    parser.add_argument("--at", choices=sorted(INSTANTS), action="append", default=[], help="a fault's instant")
    parser.add_argument("--faults", type=int, default=1, help="the most in one round; dice choose how many")
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--box", action="store_true", help="real sshd hosts in a box (needs root)")
    options = parser.parse_args()
    for name in set(options.fault) - set(faults_for(options.box)):
        parser.error(
            f"{name} is for {'local instances: leave --box out' if options.box else 'hosts of the box: --box'}"
        )
    return asyncio.run(soak(options))


__all__ = ["command", "main", "standing"]

if __name__ == "__main__":
    sys.exit(main())
