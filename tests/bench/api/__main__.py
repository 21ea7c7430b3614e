"""How fast the API is, on this machine, beside a real Temporal dev server and worker.

python -m tests.bench.api [ROUND …]     default: all rounds, each with fresh data
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Mapping

from tests.bench.api.reads import many_open, one_large, recorded
from tests.bench.api.stand import Stand, running_stand
from tests.bench.scale import memory_mib

Round = Callable[[Stand], Awaitable[None]]
ROUNDS: Mapping[str, Round] = {"large": one_large, "open": many_open, "recorded": recorded}


async def measure(play: Round) -> None:
    """Plays one round and prints what it came to."""
    async with running_stand() as stand:
        await play(stand)
        print(f"  API process: {memory_mib(stand.servers[0].pid):.0f} MiB at most", flush=True)


async def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="*", choices=[*ROUNDS, []], default=list(ROUNDS))
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in given.rounds:
        await measure(ROUNDS[name])


if __name__ == "__main__":
    asyncio.run(main())
