"""The worker: builds clients, activities and Temporal's workers, runs until SIGTERM, then drains.

All dependencies are wired here. `python worker.py` and `towline worker` are the same; `towline up` runs it with a dev
server.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.codedeploy_agent import CodeDeployAgents
from activities.current_settings import CurrentSettings
from activities.group import GroupActivities
from activities.heartbeats import Beats
from activities.hosts import HostActivities
from activities.instances import InstanceActivities
from activities.inventory import InventoryActivities
from activities.preview import PreviewActivities, Sources
from activities.records import RecordActivities
from activities.revisions import Archives, RevisionActivities
from activities.sticky_reset import Takeover
from towline import __version__
from towline.agents.peers import AGENTS_AT
from towline.bundles.cache import Cache
from towline.catalogue.repository import Catalogue
from towline.codedeploy_agents.runs import Runs
from towline.deployments.reader import DeploymentReader
from towline.errors import OurFault, TowlineError
from towline.model import names
from towline.model.deployment.exit_status import status_of
from towline.model.visible import for_terminal
from towline.settings import Settings, read_settings
from towline.store import Store, open_store
from towline.store.identity import has_mark, mark_of
from towline.store.journal import JOURNALS, Journal
from towline.temporal import connect_temporal, workers_at_work
from towline.transports import TransportPool
from towline.transports.agent import Agents
from workflows.catalogue import CatalogueWorkflow
from workflows.deployment import DeploymentWorkflow
from workflows.group import GroupWorkflow
from workflows.sandbox import SANDBOX
from workflows.shard import ShardWorkflow
from workflows.worker_call import CallWorker

WORKFLOWS: list[type] = [DeploymentWorkflow, ShardWorkflow, GroupWorkflow, CatalogueWorkflow, CallWorker]

INSTANCES_AT_ONCE = 500
"""Maximum activities in one worker; Temporal limits a workflow to 2,000 pending ones."""

DRAIN = timedelta(seconds=2)
"""Time for activities to finish after SIGTERM; then those that follow hosts detach and another worker takes over."""

STORE_ADDRESS_SECONDS = 5.0
"""How long a starting worker waits until the catalogue has the store's address; then it continues without."""

FOLD_SECONDS = 600.0
"""How often a worker folds the store's journals."""

STORE_MARK = " store "
"""Separates the store's mark from the rest of a worker's identity."""

STICKY = timedelta(seconds=3)
"""How long a killed worker's workflow tasks wait for it before another worker gets them, unless `Takeover` resets the
workflow earlier; Temporal's default is 10 s."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

log = logging.getLogger("towline.worker")

VERBOSE_LIBRARIES = ("asyncssh", "botocore", "boto3", "urllib3")
"""Libraries that log a dozen lines per connection, one of them with the whole command: limited to warnings."""


async def run(settings: Settings, client: Client | None = None) -> None:
    """Runs until SIGTERM, SIGINT or cancellation.

    Raises:
        TemporalUnavailable: Temporal does not answer.
        OurFault: the store cannot be used, or search attributes are missing and cannot be registered.
    """
    for library in VERBOSE_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    client = client or await connect_temporal(settings, logs_retries=True)
    await register_search_attributes(client)
    store = open_store(settings.worker_store)
    await asyncio.to_thread(check_store, store)
    await check_same_store(client, store)
    await asyncio.to_thread(check_folder, settings.data_dir / "cache")
    async with TransportPool(ssh_settings=CurrentSettings(Catalogue(client)).of) as pool:
        workers = build_workers(client, store, pool, settings.data_dir / "cache")
        async with contextlib.AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker)
            publishing = asyncio.create_task(publish_store_address(Catalogue(client), store.address))
            stack.push_async_callback(end_of, publishing)
            stack.push_async_callback(end_of, asyncio.create_task(fold_journals(store)))
            await asyncio.wait({publishing}, timeout=STORE_ADDRESS_SECONDS)
            log.info("at work on %s", ", ".join(worker.task_queue for worker in workers))
            enable_garbage_collection()
            async with shutdown_signal() as end:
                await end.wait()
            log.info("draining: hooks continue on their hosts, another worker follows them")


def enable_garbage_collection() -> None:
    """Enables the garbage collector without the objects loaded so far: scanning them takes 50 ms in mid-rollout."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def build_workers(client: Client, store: Store, pool: TransportPool, cache_folder: Path) -> list[Worker]:
    """One worker for the shared queue, and one for the instances on this machine."""
    host = socket.gethostname()
    on_hosts, everywhere = build_activities(client, store, pool, cache_folder, host)
    options: dict[str, Any] = worker_options(client, f"{os.getpid()}@{host}{STORE_MARK}{mark_of(store)}")
    return [
        Worker(
            client,
            task_queue=names.TASK_QUEUE,
            workflows=WORKFLOWS,
            activities=[*everywhere, *on_hosts],
            workflow_runner=SANDBOX,
            sticky_queue_schedule_to_start_timeout=STICKY,
            **options,
        ),
        Worker(client, task_queue=names.local_task_queue(host), activities=on_hosts, **options),
    ]


def worker_options(client: Client, identity: str) -> dict[str, object]:
    """The options that all workers share."""
    return {
        "identity": identity,
        # Without one, the SDK compiles and hashes every module that is loaded: a second of each start.
        "build_id": f"towline-{__version__}",
        "interceptors": [Takeover(client), Beats()],
        "max_concurrent_activities": INSTANCES_AT_ONCE,
        "graceful_shutdown_timeout": DRAIN,
        # At most one heartbeat per second: an activity learns of its cancellation from the reply to a heartbeat.
        "max_heartbeat_throttle_interval": timedelta(seconds=1),
        "default_heartbeat_throttle_interval": timedelta(seconds=1),
    }


def build_activities(
    client: Client,
    store: Store,
    pool: TransportPool,
    cache_folder: Path,
    host: str,
    codedeploy_agents: CodeDeployAgents | None = None,
) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
    """The activities that reach hosts, and all others."""
    cache = Cache(cache_folder)
    instances = InstanceActivities(
        store,
        Archives(store, cache),
        pool,
        is_open=DeploymentReader(client).is_open,
        codedeploy_agents=codedeploy_agents,
    )
    hosts = HostActivities(store, pool, host=host)
    inventory = InventoryActivities(client, store)
    revisions = RevisionActivities(store, cache)
    records = RecordActivities(store)
    group = GroupActivities(client, store)
    preview = PreviewActivities(client, store, Sources(inventory, revisions.read_revision, hosts.ask_hosts))
    on_hosts: list[Callable[..., Any]] = [instances.deploy_instance, instances.halt_instances, hosts.ask_hosts]
    everywhere: list[Callable[..., Any]] = [
        inventory.read_group,
        inventory.read_fleet,
        inventory.check_paths,
        inventory.find_ec2_members,
        revisions.read_revision,
        records.write_report,
        records.read_wreck,
        group.join_turn,
        group.leave_turn,
        group.record_outcomes,
        group.watch_active,
        preview.preview,
    ]
    return on_hosts, everywhere


@contextlib.asynccontextmanager
async def agents_worker(
    client: Client, store: Store, agents: Agents, runs: Runs, folder: Path, address: str
) -> AsyncIterator[None]:
    """For the block, an API server's worker for the instances whose agents poll it at `address`.

    `runs`: what is open on hosts with AWS's agent.
    """
    await asyncio.to_thread(check_folder, folder)
    host = socket.gethostname()
    identity = f"{os.getpid()}@{host}{AGENTS_AT}{address}{STORE_MARK}{mark_of(store)}"
    codedeploy_agents = CodeDeployAgents(client, store, Archives(store, Cache(folder)), runs)
    async with TransportPool(agents=agents) as pool:
        on_hosts, _ = build_activities(client, store, pool, folder, host, codedeploy_agents)
        options: dict[str, Any] = worker_options(client, identity)
        try:
            async with Worker(client, task_queue=names.AGENTS_TASK_QUEUE, activities=on_hosts, **options):
                yield
        finally:
            await codedeploy_agents.end()


async def publish_store_address(catalogue: Catalogue, address: str) -> None:
    """Writes the store's address to the catalogue, for clients, and loads its tables; retries until that succeeds.

    After all workers were killed, the catalogue answers only once Temporal has noticed (some ten seconds); the new
    worker must not exit because of that.
    """
    while True:
        try:
            await catalogue.write_store_address(address)
            await catalogue.touch()
        except TowlineError as error:
            log.warning("the store's address is not in the catalogue yet: %s", error)
            await asyncio.sleep(1)
        else:
            return


async def fold_journals(store: Store) -> None:
    """Keeps the store's journals quick to read. Several workers that do so at once do no harm."""
    while True:
        for name in JOURNALS:
            try:
                await asyncio.to_thread(Journal(store, name).fold)
            except TowlineError as error:
                log.warning("the journal %s was not folded: %s", name, error)
        await asyncio.sleep(FOLD_SECONDS)


async def end_of(task: asyncio.Task[None]) -> None:
    """Cancels a task and waits for it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def check_store(store: Store) -> None:
    """Raises OurFault if the store is not writable, before the worker takes work that would fail."""
    store.put("worker-check", socket.gethostname().encode())


async def check_same_store(client: Client, store: Store) -> None:
    """Raises OurFault if live workers use another store: they must find what this one writes."""
    try:
        identities = await workers_at_work(client, names.TASK_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
    except RPCError as error:
        log.warning("cannot check that all workers use the same store: %s", error.message)
        return
    for full in identities:
        identity, _, mark = full.partition(STORE_MARK)
        if mark and not await asyncio.to_thread(has_mark, store, mark):
            raise OurFault(
                f"the store {store.address} is not the one that other workers use (such as {identity})",
                "Set TOWLINE_STORE to the same. To move the store, end all workers, copy it, and wait a minute.",
            )


def check_folder(folder: Path) -> None:
    """Raises OurFault if the worker cannot write archives to its folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        hint = "Set TOWLINE_DATA_DIR to a folder that this user may write to."
        raise OurFault(f"the worker's folder {folder} cannot be used: {error.strerror or error}", hint) from error


async def register_search_attributes(client: Client) -> None:
    """Registers towline's missing search attributes; workflow tasks that set an unregistered one fail forever.

    Raises OurFault, with the command to run, if that is not permitted.
    """
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        missing = [name for name in names.SEARCH_ATTRIBUTES if name not in known.custom_attributes]
        if missing:
            keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
                )
            )
    except RPCError as error:
        raise OurFault(
            f"towline's search attributes are not registered in the namespace {client.namespace}: {error.message}",
            f"Register them with: {registration_command(client.namespace)}",
        ) from error


def registration_command(namespace: str) -> str:
    """The command with which an administrator registers the search attributes."""
    pairs = " ".join(f"--name {name} --type Keyword" for name in names.SEARCH_ATTRIBUTES)
    return f"temporal operator search-attribute create --namespace {namespace} {pairs}"


@contextlib.asynccontextmanager
async def shutdown_signal(
    signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> AsyncIterator[asyncio.Event]:
    """Yields an event that the first of these signals sets; Temporal's worker does not handle signals."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, end.set)
    try:
        yield end
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


class LogFormatter(logging.Formatter):
    """Escapes control characters from hosts and archives, since logs may go to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return for_terminal(super().format(record))


def main() -> int:
    """Runs a worker with the environment's settings; logs an error as one line. Returns the exit status."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(LOG_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        asyncio.run(run(read_settings()))
    except TowlineError as error:
        log.error("%s", error)
        return int(status_of(error))
    return 0


if __name__ == "__main__":
    answer = main()
    logging.shutdown()
    # The interpreter occasionally aborts at exit while Temporal's threads still run (towline/cli/main.py).
    os._exit(answer)
