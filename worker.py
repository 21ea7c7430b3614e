"""The worker: builds clients, activities and Temporal's workers, runs until SIGTERM, then drains.

The only place where the parts are wired. `python worker.py` and `towline worker` are the same; `towline up` runs it
beside a dev server.
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
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

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
from towline.bundles.cache import Cache
from towline.catalogue.client import Catalogue
from towline.deployments.reader import DeploymentReader
from towline.errors import OurFault, TowlineError
from towline.model import names
from towline.model.deployment.exit_status import status_of
from towline.model.visible import for_terminal
from towline.settings import Settings, read_settings
from towline.store import Store, open_store
from towline.store.identity import has_mark, mark_of
from towline.temporal import connect_temporal
from towline.transports import TransportPool
from workflows.catalogue import Catalogue as CatalogueWorkflow
from workflows.deployment import Deployment
from workflows.group import DeploymentGroup
from workflows.sandbox import SANDBOX
from workflows.shard import Shard
from workflows.worker_call import CallWorker

WORKFLOWS: list[type] = [Deployment, Shard, DeploymentGroup, CatalogueWorkflow, CallWorker]

INSTANCES_AT_ONCE = 500
"""Most activities in one worker; Temporal allows a workflow 2,000 that are pending."""

DRAIN = timedelta(seconds=2)
"""After SIGTERM, activities have this long to end by themselves; then those on hosts detach and hand over."""

TELL_SECONDS = 5.0
"""At its start a worker waits so long for the catalogue to take the store's address, and goes on in any case."""

STORE_MARK = " store "
"""In a worker's identity, before the mark of its store."""

AT_WORK_SECONDS = 70
"""A worker that is at work asks Temporal for work at least once in so long."""

STICKY = timedelta(seconds=3)
"""A killed worker's workflows are offered to another one so much later, where `Takeover` has not seen to it before;
Temporal's default is 10 s."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

log = logging.getLogger("towline.worker")

TALKATIVE = ("asyncssh", "botocore", "boto3", "urllib3")
"""Libraries that tell a dozen lines of every connection, one of them its whole command: only warnings are kept."""


async def run(settings: Settings, client: Client | None = None) -> None:
    """Works until SIGTERM, SIGINT or the task's cancellation.

    Raises:
        TemporalUnavailable: Temporal does not answer.
        OurFault: the store cannot be used, or search attributes are missing and cannot be registered.
    """
    for library in TALKATIVE:
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
            telling = asyncio.create_task(tell_where_the_store_is(Catalogue(client), store.address))
            stack.push_async_callback(end_of, telling)
            await asyncio.wait({telling}, timeout=TELL_SECONDS)
            log.info("at work on %s", ", ".join(worker.task_queue for worker in workers))
            look_for_garbage()
            async with told_to_end() as end:
                await end.wait()
            log.info("drains: hooks go on on their hosts, another worker follows them")


def look_for_garbage() -> None:
    """But not among what is loaded and stays: that takes a twentieth of a second in mid-rollout."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def build_workers(client: Client, store: Store, pool: TransportPool, cache_folder: Path) -> list[Worker]:
    """One worker for the shared queue, and one for the instances on this machine."""
    host = socket.gethostname()
    on_hosts, everywhere = build_activities(client, store, pool, cache_folder, host)
    shared = {
        "identity": f"{os.getpid()}@{host}{STORE_MARK}{mark_of(store)}",
        "interceptors": [Takeover(client), Beats()],
        "max_concurrent_activities": INSTANCES_AT_ONCE,
        "graceful_shutdown_timeout": DRAIN,
        # A beat a second at most: a cancel reaches an activity with the answer to its heartbeat.
        "max_heartbeat_throttle_interval": timedelta(seconds=1),
        "default_heartbeat_throttle_interval": timedelta(seconds=1),
    }
    options: dict[str, Any] = shared
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


def build_activities(
    client: Client, store: Store, pool: TransportPool, cache_folder: Path, host: str
) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
    """The activities that touch hosts, and all the others."""
    cache = Cache(cache_folder)
    instances = InstanceActivities(store, Archives(store, cache), pool, is_open=DeploymentReader(client).is_open)
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
        group.watch_holder,
        preview.preview,
    ]
    return on_hosts, everywhere


async def tell_where_the_store_is(catalogue: Catalogue, address: str) -> None:
    """Writes the store's address into the catalogue, for clients, and has the tables loaded; tried until it is there.

    Where all workers were killed, the catalogue answers only after Temporal has noticed that (some ten seconds): the
    worker that takes over must not end for that.
    """
    while True:
        try:
            await catalogue.write_store_address(address)
            await catalogue.touch()
        except TowlineError as error:
            log.warning("clients cannot be told yet where the store is: %s", error)
            await asyncio.sleep(1)
        else:
            return


async def end_of(task: asyncio.Task[None]) -> None:
    """Cancels a task and waits for it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def check_store(store: Store) -> None:
    """A worker whose store cannot be written must not take work that would fail. Raises OurFault."""
    store.put("worker-check", socket.gethostname().encode())


async def check_same_store(client: Client, store: Store) -> None:
    """What one worker freezes the others must find: raises OurFault where those at work use another store."""
    asked = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=names.TASK_QUEUE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        described = await client.workflow_service.describe_task_queue(asked)
    except RPCError as error:
        log.warning("whether all workers use one store cannot be told: %s", error.message)
        return
    since = time.time() - AT_WORK_SECONDS
    for poller in described.pollers:
        identity, _, mark = poller.identity.partition(STORE_MARK)
        if mark and poller.last_access_time.ToSeconds() > since and not await asyncio.to_thread(has_mark, store, mark):
            raise OurFault(
                f"the store {store.address} is not the one that other workers use (such as {identity})",
                "Set TOWLINE_STORE to theirs. To move the store, end them all, copy it, and wait a minute.",
            )


def check_folder(folder: Path) -> None:
    """A worker that cannot keep archives must not take work either. Raises OurFault."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        hint = "Set TOWLINE_DATA_DIR to a folder that this user may write to."
        raise OurFault(f"the worker's folder {folder} cannot be used: {error.strerror or error}", hint) from error


async def register_search_attributes(client: Client) -> None:
    """Registers what is missing of towline's search attributes; an unregistered one fails workflow tasks for ever.

    Raises OurFault, with the command to run, where that is not allowed.
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
    """The command by which an administrator registers the search attributes."""
    pairs = " ".join(f"--name {name} --type Keyword" for name in names.SEARCH_ATTRIBUTES)
    return f"temporal operator search-attribute create --namespace {namespace} {pairs}"


@contextlib.asynccontextmanager
async def told_to_end(
    signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> AsyncIterator[asyncio.Event]:
    """An event that is set by the first of these signals. Temporal's worker itself does nothing about them."""
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
    """Of logs that may go to a terminal: what hosts and archives sent does not steer it."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return for_terminal(super().format(record))


def main() -> int:
    """Runs a worker by the environment's settings; a refusal is one line. Returns the exit status, as of commands."""
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
    # The interpreter aborts at exit once in a while when Temporal's threads are still at work (towline/cli/main.py).
    os._exit(answer)
