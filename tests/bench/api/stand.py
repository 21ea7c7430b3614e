"""What is measured: a dev server on SQLite, `worker.py` and `towline api`, each a process; hosts are played."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from tests.bench.api.calls import Caller, Load
from tests.bench.scale import make_revision, processor_seconds, worker_process
from towline.catalogue.repository import Catalogue
from towline.devserver import dev_server
from towline.model import names
from towline.model.catalogue.changes import diff
from towline.model.manifest.parser import parse_manifest
from towline.store import Store, open_store
from towline.temporal import DATA_CONVERTER

ACCESS_KEY, SECRET = "TLBENCH", "0123456789abcdef0123"


@dataclass(frozen=True)
class Stand:
    """The processes, and ways to reach them."""

    folder: Path
    environment: dict[str, str]
    client: Client
    worker: int
    temporal: int
    servers: tuple[ApiServer, ...]
    revision: Mapping[str, object]
    """A bundle with one file, in the store."""

    @property
    def store(self) -> Store:
        """The worker's store."""
        return open_store(str(self.folder / "store"))

    async def apply(self, manifest: str) -> None:
        """Writes what a towline.yaml declares."""
        records = parse_manifest(manifest).records
        await Catalogue(self.client).write([change.change for change in diff(records, {}).changes])

    async def start(self, application: str, group: str, deployment_id: str) -> None:
        """Starts a deployment, not by the API."""
        request = {"applicationName": application, "deploymentGroupName": group, "revision": self.revision}
        await self.client.start_workflow(
            names.DEPLOYMENT, request, id=deployment_id, task_queue=names.TASK_QUEUE, task_timeout=names.TASK_TIMEOUT
        )

    async def measured(self, what: str, load: Awaitable[Load]) -> Load:
        """Prints what a load came to, and what the processes used of the processors for each call."""
        pids = {"API": [server.pid for server in self.servers], "worker": [self.worker], "Temporal": [self.temporal]}
        before = {name: sum(map(processor_seconds, of)) for name, of in pids.items()}
        found = await load
        used = {name: sum(map(processor_seconds, of)) - before[name] for name, of in pids.items()}
        each = ", ".join(f"{name} {seconds / len(found.answers) * 1000:.1f}" for name, seconds in used.items())
        print(f"{what}: {found}\n  processor time for each call, in ms: {each}")
        return found

    def caller(self, connections: int, server: int = 0) -> Caller:
        """A client of one of the servers."""
        return Caller(self.servers[server].url, ACCESS_KEY, SECRET, connections)


@dataclass(frozen=True)
class ApiServer:
    """One API process."""

    url: str
    pid: int


@contextlib.asynccontextmanager
async def running_stand(servers: int = 1) -> AsyncIterator[Stand]:
    """All of it, for the block, on fresh data."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(dev_server(db=folder / "temporal.db", port=None))
        environment = os.environ | server.environment() | {"TOWLINE_DATA_DIR": str(folder), "PYTHONPATH": "."}
        worker = await stack.enter_async_context(worker_process(environment))
        client = await Client.connect(server.address, data_converter=DATA_CONVERTER)
        await _until_it_answers(client)
        api = [await stack.enter_async_context(_api_process(folder, environment)) for _ in range(servers)]
        yield Stand(folder, environment, client, worker.pid, server.process.pid, tuple(api), make_revision(folder))


@contextlib.asynccontextmanager
async def _api_process(folder: Path, environment: dict[str, str]) -> AsyncIterator[ApiServer]:
    keys, policy = folder / "keys", folder / "policy.yaml"
    keys.write_text(f"[bench]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET}\n")
    keys.chmod(0o600)
    policy.write_text('bench: {Statement: {Effect: Allow, Action: "codedeploy:*", Resource: "*"}}\n')
    command = [sys.executable, "-m", "towline", "api", "--port", "0", "--access-keys", str(keys)]
    command += ["--policy", str(policy)]
    with (folder / "api.log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout
    try:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line, (folder / "api.log").read_text()
        yield ApiServer(line.split()[2].decode(), process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def _until_it_answers(client: Client) -> None:
    """The worker has written where its store is."""
    catalogue = Catalogue(client)
    while not await catalogue.store_address():
        await asyncio.sleep(0.2)
