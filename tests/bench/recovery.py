"""How soon work goes on after a worker's SIGKILL, and how soon a stop is acknowledged.

    python -m tests.bench.recovery [--rounds R]

Everything is real: Temporal's dev server, worker processes, runners and hooks on local instances. What counts as going
on, or as a start, is a hook on an instance, by the instance's own file (tests/harness/faults/site.py).

- Recovery: under OneAtATime, the worker is killed while it follows a hook, which ends at once. Work goes on when the
  next instance's first hook begins. Measured from the kill, where another worker is there already, and else from the
  moment at which a worker started afterwards says that it is at work.
- Stop: under HalfAtATime, in the middle of the hooks: `towline stop` from its start to its exit, and what Temporal and
  worker take of that (from the request to `Succeeded`). Then all hooks are let go, and no instance may begin.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.harness.faults.site import FaultSite, LocalHost
from tests.harness.temporal import TemporalServer, eventually, temporal_server
from towline.model.messages.deploy import StopRequest

EVENT = "AfterInstall"
HOSTS = 12
LATER_SECONDS = 8.0
"""When every timeout that the dead worker has left behind is over."""


@asynccontextmanager
async def new_site(server: TemporalServer) -> AsyncIterator[FaultSite]:
    """A namespace and a folder of its own, with one worker."""
    with tempfile.TemporaryDirectory() as folder:
        site = FaultSite.at(Path(folder), server.address, await server.new_namespace())
        try:
            await site.start_worker()
            yield site
        finally:
            site.close()


async def moment(condition: Callable[[], object]) -> float:
    """When it became true, to some milliseconds."""
    while not condition():
        await asyncio.sleep(0.005)
    return time.perf_counter()


async def other_is_there(site: FaultSite) -> float:
    """Seconds from the kill until work goes on; another worker waits beside the one that is killed."""
    hosts = await held(site)
    await site.start_worker()
    site.workers[0].kill()
    killed = time.perf_counter()
    return await next_begins(site, hosts) - killed


async def other_comes(site: FaultSite, after_seconds: float = 0.0) -> float:
    """Seconds from another worker being there until work goes on; it is started some time after the kill."""
    hosts = await held(site)
    site.workers[0].kill()
    hosts[0].let_go(EVENT)
    await asyncio.sleep(after_seconds)
    other = site.launch()
    there = await moment(lambda: other.is_at_work)
    return await next_begins(site, hosts) - there


async def other_comes_late(site: FaultSite) -> float:
    return await other_comes(site, LATER_SECONDS)


async def held(site: FaultSite) -> list[LocalHost]:
    """A deployment whose first instance is in a hook."""
    hosts = await site.declare_hosts(hosts=2)
    hosts[0].hold(EVENT)
    await site.start("d-1")
    await site.begun(hosts[0], "d-1", EVENT)
    return hosts


async def next_begins(site: FaultSite, hosts: list[LocalHost]) -> float:
    """The hook ends, and the second instance's first one begins. Sees to it that all ends well."""
    hosts[0].let_go(EVENT)
    at = await moment(lambda: hosts[1].runs)
    assert (await site.ended("d-1")).info.status == "Succeeded"
    site.check_counts("d-1", hosts)
    return at


async def stop_command(site: FaultSite) -> float:
    """Seconds of `towline stop`, which has to say that the stop succeeded."""
    hosts = await half_held(site)
    began = time.perf_counter()
    done = await site.towline("stop", "d-1")
    seconds = time.perf_counter() - began
    assert done.status == 0 and "Succeeded" in done.text, done.text
    await nothing_begins(site, hosts)
    return seconds


async def stop_request(site: FaultSite) -> float:
    """Seconds from the request until it is answered with `Succeeded`."""
    hosts = await half_held(site)
    began = time.perf_counter()
    while (answer := await site.deployments.stop("d-1", StopRequest())) and answer.status == "Pending":
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - began
    assert answer and answer.status == "Succeeded", answer
    await nothing_begins(site, hosts)
    return seconds


async def half_held(site: FaultSite) -> list[LocalHost]:
    """A deployment with half of its instances in a hook."""
    hosts = await site.declare_hosts(hosts=HOSTS, config="HalfAtATime")
    for host in hosts:
        host.hold(EVENT)
    await site.start("d-1")
    await eventually(lambda: sum(bool(host.run_of("d-1", EVENT)) for host in hosts) == HOSTS // 2)
    return hosts


async def nothing_begins(site: FaultSite, hosts: list[LocalHost]) -> None:
    """Lets go of everything, and raises where an instance begins that had not begun."""
    begun = {host.name for host in hosts if host.runs}
    for host in hosts:
        host.let_go(EVENT)
    assert (await site.ended("d-1")).info.status == "Stopped"
    late = {host.name for host in hosts if host.runs} - begun
    assert not late, f"begun after the stop had succeeded: {late}"


FIGURES: dict[str, Callable[[FaultSite], Awaitable[float]]] = {
    "goes on, from the kill (another worker is there)": other_is_there,
    "goes on, from a worker being there (started at once)": other_comes,
    f"goes on, from a worker being there (started {LATER_SECONDS:g} s later)": other_comes_late,
    "`towline stop`, from its start to its exit": stop_command,
    "stop, from the request to `Succeeded`": stop_request,
}


async def main(rounds: int) -> None:
    """Prints the figures."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds")
    async with temporal_server() as server:
        for name, figure in FIGURES.items():
            times = []
            for _ in range(rounds):
                async with new_site(server) as site:
                    times.append(await figure(site))
            told = ", ".join(f"{seconds:.2f}" for seconds in times)
            print(f"{name:56} median {statistics.median(times):5.2f} s of {told}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(main(parser.parse_args().rounds))
