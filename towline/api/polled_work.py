"""The API server as Temporal's worker for the instances whose agents poll it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from temporalio.client import Client

from towline import errors
from towline.agents.heard import keep_note
from towline.agents.service import AgentService
from towline.codedeploy_agents.runs import Runs
from towline.deployments.service import DeploymentService
from towline.store import Store

AgentsWorker = Callable[[Client, Store, AgentService, Runs, Path, str], contextlib.AbstractAsyncContextManager[None]]
"""`worker.agents_worker`: only `worker.py` builds activities."""

STORE_SECONDS = 5.0
"""Between two looks for a store that this process can reach."""

WATCH_SECONDS = 5.0
"""Between two looks for hosts that poll no longer."""

log = logging.getLogger("towline.api")


class PolledWork:
    """Works on `towline@agents` from `begin` to `end`, as soon as there is a store that this process can reach."""

    def __init__(
        self, deployments: DeploymentService, agents: AgentService, runs: Runs, folder: Path, worker: AgentsWorker
    ) -> None:
        """`runs`: what is open on hosts with AWS's agent; `folder`: for archives on their way to hosts."""
        self._deployments, self._folder, self._worker = deployments, folder, worker
        self._agents, self._runs = agents, runs
        self._task: asyncio.Task[None] | None = None

    def begin(self, address: str) -> None:
        """Begin to work; `address` is where agents and other API servers reach this one."""
        self._task = asyncio.create_task(self._run(address))

    async def end(self) -> None:
        """Hand the work over: activities detach, and the runners go on."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self, address: str) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                await self._work(address)
        except Exception:
            log.exception("instances that poll cannot be deployed to")

    async def _work(self, address: str) -> None:
        store = await self._reachable_store()
        temporal = self._deployments.temporal
        async with self._worker(temporal, store, self._agents, self._runs, self._folder, address):
            log.info("at work for instances that poll")
            await keep_note(store, self._agents.exchange, f"{socket.gethostname()}-{address.rpartition(':')[2]}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._agents.exchange.fail_silent()

    async def _reachable_store(self) -> Store:
        told = ""
        while True:
            try:
                return await self._deployments.storage.store()
            except errors.TowlineError as error:
                if str(error) != told:
                    log.warning("instances that poll cannot be deployed to yet: %s", error)
                told = str(error)
                await asyncio.sleep(STORE_SECONDS)
