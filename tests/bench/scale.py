"""How a rollout grows: instances a second, histories and the worker's memory, with a transport that does nothing.

python -m tests.bench.scale [COUNT …] [--config NAME]     default: 500 1000 5000 10000, all at once

Real dev server on SQLite, a real worker process, the real CLI's catalogue; only the hosts are played (`fake`). The last
column is the processor time of the worker and of Temporal for each host, in ms: where the time goes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from temporalio.client import Client

from towline.bundles.local import as_archive, location_of, revision_key
from towline.catalogue.repository import Catalogue
from towline.devserver import dev_server
from towline.model import names
from towline.model.catalogue.changes import diff
from towline.model.manifest.parser import parse_manifest
from towline.model.messages.view import DeploymentView
from towline.store import open_store
from towline.temporal import DATA_CONVERTER

MANIFEST = """
applications:
  - applicationName: shop
    deploymentGroups:
      - deploymentGroupName: production
        deploymentConfigName: {config}
        onPremisesInstanceTagFilters: [{{Key: role, Value: web}}]
instances:
  - {{instanceName: "web-[00001:{count:05d}]", tags: {{role: web}}, fake: {{seconds: 0}}}}
"""


@contextlib.asynccontextmanager
async def worker_process(environment: dict[str, str]) -> AsyncIterator[subprocess.Popen[bytes]]:
    """`python worker.py` for the block."""
    process = subprocess.Popen(
        [sys.executable, "worker.py"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors; that says more than the clock does where others are at work, too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """The most resident memory that a process had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def measure(count: int, config: str) -> str:
    """One fresh server, worker and fleet; a line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        async with dev_server(db=data / "temporal.db", port=None) as server:
            environment = os.environ | server.environment() | {"TOWLINE_DATA_DIR": folder, "PYTHONPATH": "."}
            client = await Client.connect(server.address, data_converter=DATA_CONVERTER)
            async with worker_process(environment) as worker:
                manifest = parse_manifest(MANIFEST.format(count=count, config=config))
                await Catalogue(client).write([change.change for change in diff(manifest.records, {}).changes])
                revision = make_revision(data)
                pids = (worker.pid, server.process.pid)
                start, used_before = time.perf_counter(), [processor_seconds(pid) for pid in pids]
                handle = await client.start_workflow(
                    names.DEPLOYMENT,
                    {"applicationName": "shop", "deploymentGroupName": "production", "revision": revision},
                    id="d-1",
                    task_queue=names.TASK_QUEUE,
                    result_type=DeploymentView,
                )
                view = await handle.result()
                seconds = time.perf_counter() - start
                used = [processor_seconds(pid) - before for pid, before in zip(pids, used_before, strict=True)]
                assert view.info.overview.succeeded == count
                histories = await history_sizes(client)
                return (
                    f"{count:>7} {seconds:>9.1f} {count / seconds:>10.0f} {told(largest(histories)):>22}"
                    f" {told(histories['d-1']):>22} {memory_mib(worker.pid):>11.0f}"
                    f" {' + '.join(f'{seconds / count * 1000:.1f}' for seconds in used):>12}"
                )


def make_revision(data: Path) -> dict[str, object]:
    """A bundle with one file, in the store."""
    source = data / "bundle"
    source.mkdir()
    (source / "appspec.yml").write_text("version: 0.0\nos: linux\nfiles: [{source: a, destination: /srv}]\n")
    (source / "a").write_text("a\n")
    packed = as_archive(source, data)
    open_store(str(data / "store")).put_file(revision_key(packed.sha256, packed.bundle_type), packed.path)
    return location_of(packed, "bundle").model_dump(mode="json", by_alias=True, exclude_none=True)


class Size(NamedTuple):
    """How large a history is."""

    events: int
    bytes: int


async def history_sizes(client: Client) -> dict[str, Size]:
    """By workflow id; of a workflow that continued as new, the largest in each respect."""
    sizes: dict[str, Size] = {}
    async for execution in client.list_workflows():
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        information = (await handle.describe()).raw_description.workflow_execution_info
        size = Size(information.history_length, information.history_size_bytes)
        sizes[execution.id] = largest({"": size, "before": sizes.get(execution.id, size)})
    return sizes


def largest(sizes: dict[str, Size]) -> Size:
    """The most events and the most bytes, be they of one history or of two."""
    return Size(max(size.events for size in sizes.values()), max(size.bytes for size in sizes.values()))


def told(size: Size) -> str:
    """A size for people."""
    return f"{size.events:,} ev {size.bytes / 1024:,.0f} KiB"


async def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[500, 1000, 5000, 10000])
    parser.add_argument("--config", default="CodeDeployDefault.AllAtOnce")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(given.config)
    heads = ("hosts", "seconds", "a second", "largest history", "the deployment's", "worker MiB", "ms a host")
    print("{:>7} {:>9} {:>10} {:>22} {:>22} {:>11} {:>12}".format(*heads))
    for count in given.counts:
        print(await measure(count, given.config), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
