"""How fast the catalogue is: instances applied together, written one by one by 20 clients, read 100 times a second; and
how fast a group refuses 99 of 100 reservations.

python -m tests.bench.catalogue [INSTANCES]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.harness.temporal import running_worker, temporal_server
from towline.catalogue.repository import Catalogue
from towline.deployments.group_updates import GroupUpdates
from towline.errors import Conflict, TowlineError
from towline.model import names
from towline.model.catalogue.changes import diff, memberships
from towline.model.catalogue.records import CatalogueState, Change
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.parser import parse_manifest
from workflows.catalogue import CatalogueWorkflow
from workflows.group import GroupWorkflow

MANIFEST = """
applications:
  - applicationName: shop
    deploymentGroups:
      - {{deploymentGroupName: production, onPremisesInstanceTagFilters: [{{Key: role, Value: web}}]}}
instances:
  - {{instanceName: "web-[00001:{count}]", zone: a, tags: {{role: web, env: production}},
     ssh: {{use: dc1, host: "{{name}}.dc1.example.com"}}}}
"""

WORKFLOWS: list[type] = [CatalogueWorkflow, GroupWorkflow]

SECONDS = 10.0
"""How long each load lasts."""

T = TypeVar("T")


async def timed(what: str, work: Awaitable[T]) -> T:
    """Awaits, and prints how long it took."""
    start = time.perf_counter()
    value = await work
    print(f"{what:44} {time.perf_counter() - start:7.3f} s")
    return value


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def show(what: str, seconds: list[float], elapsed: float) -> None:
    """Prints the rate and how long single ones took."""
    p50, p99 = percentile(seconds, 50) * 1000, percentile(seconds, 99) * 1000
    rate = len(seconds) / elapsed
    print(f"{what:44} {rate:7.0f}/s  p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {max(seconds) * 1000:.0f} ms")


async def write_one_by_one(catalogues: Sequence[Catalogue], *, clients: int, seconds: float) -> None:
    """So many clients each write an instance anew as soon as their last write is answered."""
    took: list[float] = []
    start = time.perf_counter()

    async def one_client(number: int) -> None:
        catalogue = catalogues[number % len(catalogues)]
        key = f"instance/of-client-{number}"
        found = await catalogue.read([key])
        version = found[key].version if found else None
        while time.perf_counter() - start < seconds:
            value = {"instanceName": key, "tags": {"role": "web", "write": str(len(took))}}
            began = time.perf_counter()
            version = (await catalogue.write([Change(key=key, version=version, value=value)]))[key]
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(one_client(number) for number in range(clients)))
    shown = f"{clients} clients of {len(catalogues)} process(es) write one by one"
    show(shown, took, time.perf_counter() - start)


async def read_at_a_rate(catalogue: Catalogue, key: str, *, per_second: int, seconds: float) -> None:
    """Begins so many reads of one record a second, whether or not the ones before have ended."""
    took: list[float] = []
    failed: list[TowlineError] = []

    async def one_read() -> None:
        began = time.perf_counter()
        try:
            assert await catalogue.read([key])
        except TowlineError as error:
            failed.append(error)
        took.append(time.perf_counter() - began)

    start = time.perf_counter()
    reads = []
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(start + number / per_second - time.perf_counter())
        reads.append(asyncio.create_task(one_read()))
    await asyncio.gather(*reads)
    show(f"{per_second} reads a second", took, time.perf_counter() - start)
    if failed:
        print(f"  {len(failed)} of them failed: {failed[0]}")


async def reserve_at_once(client: Client, count: int) -> None:
    """Reserves one group for so many deployments at the same moment."""
    updates = GroupUpdates(client)
    took: list[float] = []
    group = DeploymentGroup(application_name="shop", deployment_group_name="production")

    async def one(number: int) -> bool:
        began = time.perf_counter()
        try:
            await updates.reserve(group, f"d-{number:09d}", by="bench")
        except Conflict:
            return False
        finally:
            took.append(time.perf_counter() - began)
        return True

    start = time.perf_counter()
    granted = sum(await asyncio.gather(*(one(number) for number in range(count))))
    show(f"{count} reservations at once, {granted} granted", took, time.perf_counter() - start)


async def main(count: int) -> None:
    """Prints the figures."""
    start = time.perf_counter()
    manifest = parse_manifest(MANIFEST.format(count=f"{count:05d}"))
    changes = diff(manifest.records, {})
    memberships(changes, {})
    print(f"{f'{count} instances: parse, compare, members':44} {time.perf_counter() - start:7.3f} s")
    lines = "\n".join(f"  - {{instanceName: w{n}, tags: {{role: web}}, ssh: {{host: h{n}}}}}" for n in range(count))
    start = time.perf_counter()
    parse_manifest(f"instances:\n{lines}\n")
    print(f"{f'{count} instances: parse, a line for each':44} {time.perf_counter() - start:7.3f} s")
    async with (
        temporal_server() as server,
        running_worker(server.client, workflows=[CatalogueWorkflow, GroupWorkflow], task_queue=names.TASK_QUEUE),
    ):
        catalogue = Catalogue(server.client)
        wanted = [change.change for change in changes.changes]
        await timed(f"{count} written, first time", catalogue.write(wanted))
        records = await timed(f"{count} read back", catalogue.read_all("instance"))
        assert len(records) == count
        moved = [
            Change(key=key, version=record.version, value={**record.value, "zone": "b"})
            for key, record in records.items()
        ]
        await timed(f"{count} changed", catalogue.write(moved))
        await timed(f"{count} read by key", catalogue.read(records))
        for number in range(3):
            await timed(f"one setting written ({number + 1})", catalogue.write_setting("bench", {"n": number}))
        await timed("one record read", catalogue.read([wanted[-1].key]))
        for rate in (100, 300):
            await read_at_a_rate(catalogue, wanted[-1].key, per_second=rate, seconds=SECONDS)
        await write_one_by_one([catalogue], clients=20, seconds=SECONDS)
        other = await Client.connect(server.address, data_converter=pydantic_data_converter)
        await write_one_by_one([catalogue, Catalogue(other)], clients=20, seconds=SECONDS)
        await reserve_at_once(server.client, 100)
        handle = server.client.get_workflow_handle(names.catalogue_table("instance/"))
        state = await handle.query("state", result_type=CatalogueState)
        history = await handle.fetch_history()
        print(f"the table: {len(state.packed) / 1024:.0f} KiB packed, {len(history.events)} events of history")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
