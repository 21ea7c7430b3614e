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
from tests.bench.api.writes import beside_moto, contended, creations, registrations
from tests.bench.scale import memory_mib

Round = Callable[[Stand], Awaitable[None]]
ROUNDS: Mapping[str, tuple[Round, int]] = {
    "large": (one_large, 1),
    "open": (many_open, 1),
    "recorded": (recorded, 1),
    "creations": (creations, 1),
    "creations-2": (creations, 2),
    "contended": (contended, 1),
    "registrations": (registrations, 1),
    "registrations-2": (registrations, 2),
    "moto": (beside_moto, 1),
}
"""What is played, and beside how many API servers."""


async def measure(play: Round, servers: int) -> None:
    """Plays one round and prints what it came to."""
    async with running_stand(servers) as stand:
        await play(stand)
        memory = ", ".join(f"{memory_mib(server.pid):.0f}" for server in stand.servers)
        print(f"  API process: {memory} MiB at most", flush=True)


async def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="*", choices=[*ROUNDS, []], default=list(ROUNDS))
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in given.rounds:
        await measure(*ROUNDS[name])


if __name__ == "__main__":
    asyncio.run(main())
