"""How fast the catalogue is: instances written, read, read singly; and what one run of its history costs.

python -m tests.bench.catalogue [INSTANCES]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from typing import TypeVar

from tests.support.temporal import running_worker, temporal_server
from towline.catalogue.client import Catalogue
from towline.model import names
from towline.model.catalogue.changes import diff, memberships
from towline.model.catalogue.table import CatalogueState, Change
from towline.model.manifest.parser import parse_manifest
from workflows.catalogue import Catalogue as CatalogueWorkflow

MANIFEST = """
applications:
  - applicationName: shop
    deploymentGroups:
      - {{deploymentGroupName: production, onPremisesInstanceTagFilters: [{{Key: role, Value: web}}]}}
instances:
  - {{instanceName: "web-[00001:{count}]", zone: a, tags: {{role: web, env: production}},
     ssh: {{use: dc1, host: "{{name}}.dc1.example.com"}}}}
"""

T = TypeVar("T")


async def timed(what: str, work: Awaitable[T]) -> T:
    """Awaits, and prints how long it took."""
    start = time.perf_counter()
    value = await work
    print(f"{what:44} {time.perf_counter() - start:7.3f} s")
    return value


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
        running_worker(server.client, workflows=[CatalogueWorkflow], task_queue=names.TASK_QUEUE),
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
        handle = server.client.get_workflow_handle(names.catalogue_workflow_ids()[0])
        state = await handle.query("state", result_type=CatalogueState)
        history = await handle.fetch_history()
        print(f"one part: {len(state.packed) / 1024:.0f} KiB packed, {len(history.events)} events of history")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
