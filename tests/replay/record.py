"""Records the histories that `test_replay.py` replays: `python -m tests.replay.record [STORY…]`.

Plays stories with the site of `tests/harness/fakes.py` on a real dev server and stores every workflow's history
below `histories/<version of towline>/`, in the place of what that version had there before.

When recording is allowed: for the version that `towline.__version__` names, as long as it is not released. Histories
of a released version stand for rollouts that run at somebody's: they are never recorded again, never edited and never
removed. A change of a workflow that breaks their replay goes behind `workflow.patched(…)`, and is recorded for the
version that brings it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.exceptions import ApplicationError

import towline
from tests.harness.fakes import FakeActivities, WorkflowSite, ended, view_of
from tests.harness.temporal import TemporalServer, eventually, running_worker, temporal_server
from tests.workflows.test_worker_call import check_paths
from towline.catalogue.repository import Catalogue, CatalogueConflict, CatalogueFull
from towline.deployments.group_updates import GroupUpdates
from towline.errors import Conflict
from towline.model import names
from towline.model.catalogue.records import Change
from towline.model.group.config import PREDEFINED, DeploymentConfig, MinimumHealthyHosts, ZonalConfig
from towline.model.group.group import DeploymentGroup, group_id
from towline.model.messages.deploy import StopRequest
from towline.model.messages.instance import Fault
from towline.model.worker_call import WorkerCall
from workflows.catalogue import CatalogueWorkflow
from workflows.temporal_helpers import EVENTS_PER_RUN
from workflows.worker_call import CallWorker

HISTORIES = Path(__file__).with_name("histories")
ALL_AT_ONCE = PREDEFINED["CodeDeployDefault.AllAtOnce"]
HALF = PREDEFINED["CodeDeployDefault.HalfAtATime"]
ROLLBACK = ("DEPLOYMENT_FAILURE",)

Story = Callable[[Client], Awaitable[list[str]]]
"""Plays something in an empty namespace; answers the ids of the workflows to keep, children come along."""


# ── the stories ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def good(client: Client) -> list[str]:
    """Two deployments of one group, one after the other; the group goes on as a new run at each turn."""
    fakes = FakeActivities(hosts=3, app="shop")
    async with WorkflowSite(client, fakes) as site:
        await site.deploy(deployment_id="d-GOOD1")
        await group_is_at_rest(client)
        await site.deploy(deployment_id="d-GOOD2")
        await group_is_at_rest(client)
    return ["d-GOOD1", "d-GOOD2", GROUP]


async def rolled_back(client: Client) -> list[str]:
    """One instance fails, the touched ones are taken back."""
    fakes = FakeActivities(hosts=3, app="shop", fail={"web-02": "AfterInstall"}, rollback_on=ROLLBACK)
    async with WorkflowSite(client, fakes) as site:
        await site.deploy(deployment_id="d-BAD")
        await group_is_at_rest(client)
    return ["d-BAD", GROUP]


async def not_restored(client: Client) -> list[str]:
    """A rollback cannot reach an instance; the queue is held until a person says go."""
    fakes = FakeActivities(
        hosts=2, app="shop", fail={"web-02": ""}, fail_undo={"web-01"}, rollback_on=ROLLBACK, held={"web-02"}
    )
    async with WorkflowSite(client, fakes) as site:
        first = await site.start("d-OWES")
        await eventually(lambda: "web-02" in fakes.in_flight)
        second = await site.start("d-HELD")
        await eventually(lambda: waits(second))
        fakes.held.clear()
        await ended(first)
        fakes.fail.clear()
        await client.get_workflow_handle(GROUP).execute_update("release")
        await ended(second)
        await group_is_at_rest(client)
    return ["d-OWES", "d-HELD", GROUP]


async def stopped(client: Client) -> list[str]:
    """`stop --now` with an instance in flight, then a rollback by the person's word."""
    fakes = FakeActivities(hosts=3, app="shop", held={"web-02"})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start("d-STOPPED")
        await eventually(lambda: "web-02" in fakes.in_flight)
        await handle.execute_update(names.CANCEL, StopRequest(now=True, rollback=True, reason="wrong revision"))
        await ended(handle)
    return ["d-STOPPED"]


async def cancelled(client: Client) -> list[str]:
    """Temporal's own cancel, of a deployment that rolls out and of one that waits."""
    fakes = FakeActivities(hosts=2, app="shop", held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        first = await site.start("d-CANCELLED")
        await eventually(lambda: "web-01" in fakes.in_flight)
        second = await site.start("d-CANCELLED-WAITING")
        await eventually(lambda: waits(second))
        await second.cancel()
        await ended(second)
        await first.cancel()
        await ended(first)
        await group_is_at_rest(client)
    return ["d-CANCELLED", "d-CANCELLED-WAITING", GROUP]


async def paused(client: Client) -> list[str]:
    """Pause by update with instances in flight, resume by signal; a stop that nobody could read as one."""
    fakes = FakeActivities(hosts=4, app="shop", config=HALF, held={"web-01", "web-02"})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start("d-PAUSED")
        await eventually(lambda: len(fakes.in_flight) == 2)
        await handle.execute_update(names.PAUSE)
        fakes.held.clear()
        await eventually(lambda: says(handle, "paused"))
        await handle.signal(names.RESUME)
        await ended(handle)
        fakes.held.add("web-01")
        handle = await site.start("d-STOPPED-BY-SIGNAL")
        await eventually(lambda: "web-01" in fakes.in_flight)
        await handle.signal(names.CANCEL, {"nwo": True})
        await ended(handle)
    return ["d-PAUSED", "d-STOPPED-BY-SIGNAL"]


async def queued(client: Client) -> list[str]:
    """One rolls out, one waits, a third takes the place of the one that waits, a fourth is refused."""
    fakes = FakeActivities(hosts=1, app="shop", held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        first = await site.start("d-FIRST")
        await eventually(lambda: "web-01" in fakes.in_flight)
        second = await site.start("d-SECOND")
        await eventually(lambda: waits(second))
        third = await site.start("d-THIRD", ifBusy="supersede")
        await ended(second)
        await site.deploy(deployment_id="d-FOURTH", ifBusy="fail")
        fakes.held.clear()
        await ended(first)
        await ended(third)
        await group_is_at_rest(client)
    return ["d-FIRST", "d-SECOND", "d-THIRD", "d-FOURTH", GROUP]


async def reserved(client: Client) -> list[str]:
    """The group is reserved for a deployment that comes, and for one that never does; others are refused or wait."""
    fakes = FakeActivities(hosts=1, app="shop", held={"web-01"})
    group, updates = DeploymentGroup(application_name="shop", deployment_group_name="production"), GroupUpdates(client)
    async with WorkflowSite(client, fakes) as site:
        await updates.reserve(group, "d-RESERVED", "ci")
        with contextlib.suppress(Conflict):
            await updates.reserve(group, "d-REFUSED", "ci")
        first = await site.start("d-RESERVED", ifBusy="fail")
        await eventually(lambda: "web-01" in fakes.in_flight)
        fakes.held.clear()
        await ended(first)
        await group_is_at_rest(client)
        await updates.reserve(group, "d-NEVER-STARTED", "ci", seconds=0.5)
        await site.deploy(deployment_id="d-AFTER-IT")
        await group_is_at_rest(client)
    return ["d-RESERVED", GROUP]


async def terminated(client: Client) -> list[str]:
    """The active deployment is terminated; the group drops it and the next one goes on."""
    fakes = FakeActivities(hosts=1, app="shop", held={"web-01"})
    async with WorkflowSite(client, fakes) as site:
        first = await site.start("d-TERMINATED")
        await eventually(lambda: "web-01" in fakes.in_flight)
        second = await site.start("d-NEXT")
        await eventually(lambda: waits(second))
        await first.terminate("by hand")
        fakes.held.clear()
        await ended(second)
        await group_is_at_rest(client)
    return ["d-NEXT", GROUP]


async def zonal(client: Client) -> list[str]:
    """Two zones, one after the other, with a time of watching after the first."""
    per_zone = MinimumHealthyHosts(type="FLEET_PERCENT", value=50)
    config = DeploymentConfig(
        deployment_config_name="zonal",
        minimum_healthy_hosts=MinimumHealthyHosts(type="FLEET_PERCENT", value=0),
        zonal_config=ZonalConfig(first_zone_monitor_duration_in_seconds=1, minimum_healthy_hosts_per_zone=per_zone),
    )
    async with WorkflowSite(client, FakeActivities(hosts=4, app="shop", zones=("b", "a"), config=config)) as site:
        await site.deploy(deployment_id="d-ZONAL")
    return ["d-ZONAL"]


async def our_fault(client: Client) -> list[str]:
    """A fault of ours holds the rollout; it goes on by itself."""
    fakes = FakeActivities(hosts=2, app="shop", blocked={"web-02": Fault(code="OurFault", message="S3 says 403")})
    async with WorkflowSite(client, fakes) as site:
        handle = await site.start("d-BLOCKED")
        await eventually(lambda: says(handle, "paused: control-plane error"))
        fakes.blocked.clear()
        await ended(handle)
    return ["d-BLOCKED"]


async def refused(client: Client) -> list[str]:
    """Ended before anything is touched: a misspelt key, an application that is not there, no instances."""
    async with WorkflowSite(client, FakeActivities(hosts=0, app="shop")) as site:
        await site.deploy(deployment_id="d-MISSPELT", deploymentConfigNmae="x")
        await site.deploy(deployment_id="d-EMPTY")
        site.fakes.read_error = ApplicationError("no application", type="APPLICATION_MISSING", non_retryable=True)
        await site.deploy(deployment_id="d-MISSING")
    return ["d-MISSPELT", "d-EMPTY", "d-MISSING"]


async def time_is_over(client: Client) -> list[str]:
    """The deployment's own limit ends it."""
    async with WorkflowSite(client, FakeActivities(hosts=2, app="shop", held={"web-01"}, timeout_seconds=1)) as site:
        await site.deploy(deployment_id="d-LATE")
    return ["d-LATE"]


async def sharded(client: Client) -> list[str]:
    """More instances than one shard holds, two of which fail; leases change hands."""
    fakes = FakeActivities(hosts=260, app="shop", config=HALF, fail={"web-100": "", "web-255": ""})
    async with WorkflowSite(client, fakes) as site:
        await site.deploy(deployment_id="d-SHARDED")
    return ["d-SHARDED"]


async def catalogue(client: Client) -> list[str]:
    """A table is written until it goes on as a new run: plain, packed and refused batches; a cancel is ignored."""
    table = names.catalogue_table("application/shop")
    async with running_worker(client, workflows=[CatalogueWorkflow], task_queue=names.TASK_QUEUE):
        books = Catalogue(client, by="ann")
        key, shop = "application/shop", {"applicationName": "shop"}
        version = (await books.write([Change(key=key, value=shop)]))[key]
        handle = client.get_workflow_handle(table)
        first = (await handle.describe()).run_id
        await handle.cancel()
        groups = [Change(key=f"group/shop/g{number:04d}", value={"x-n": number}) for number in range(1000)]
        await books.write(groups, exists=[key])
        with contextlib.suppress(CatalogueConflict):
            await books.write([Change(key=key, value=shop)])
        with contextlib.suppress(CatalogueFull):
            await books.write([Change(key="group/shop/one-too-many", value={})])
        await books.write([Change(key=groups[0].key, value=None, version=2)])
        for number in range(EVENTS_PER_RUN):
            written = await books.write([Change(key=key, version=version, value={**shop, "x-n": number})])
            version = written[key]
            if (await handle.describe()).run_id != first:
                break
    return [table]


async def question(client: Client) -> list[str]:
    """A question that is answered, and one that may not be asked."""
    async with running_worker(client, workflows=[CallWorker], activities=[check_paths], task_queue=names.TASK_QUEUE):
        for name, activity in (("ask-answered", "check_paths"), ("ask-refused", "deploy_instance")):
            handle = await client.start_workflow(
                names.WORKER_CALL, WorkerCall(activity=activity, argument=["/a"]), id=name, task_queue=names.TASK_QUEUE
            )
            await asyncio.wait([asyncio.ensure_future(handle.result())])
    return ["ask-answered", "ask-refused"]


STORIES: dict[str, Story] = {
    story.__name__.replace("_", "-"): story
    for story in (
        good, rolled_back, not_restored, stopped, cancelled, paused, queued, terminated, zonal, our_fault, refused,
        time_is_over, sharded, reserved, catalogue, question,
    )
}  # fmt: skip

GROUP = names.group_workflow_id(group_id("shop", "production"))


async def waits(handle: WorkflowHandle[Any, Any]) -> bool:
    return bool((await view_of(handle)).progress.behind)


async def says(handle: WorkflowHandle[Any, Any], text: str) -> bool:
    return (await view_of(handle)).progress.text.startswith(text)


async def group_is_at_rest(client: Client) -> None:
    """Until nobody holds the turn, and the run in which the last one was held has gone on as a new one."""
    handle = client.get_workflow_handle(GROUP)

    async def is_at_rest() -> bool:
        description = await handle.describe()
        if description.run_id == description.raw_description.workflow_execution_info.first_run_id:
            return False
        has_work = bool(description.raw_description.pending_activities)
        return not has_work and not (await handle.query("status", result_type=dict))["active"]

    await eventually(is_at_rest)


# ── keeping them ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def histories_of(client: Client, workflow_id: str, run_id: str = "") -> AsyncIterator[WorkflowHistory]:
    """The histories of a workflow, run after run, and those of its children."""
    if not run_id:
        description = await client.get_workflow_handle(workflow_id).describe()
        run_id = description.raw_description.workflow_execution_info.first_run_id
    while run_id:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        yield history
        run_id = ""
        for event in history.events:
            if event.HasField("child_workflow_execution_started_event_attributes"):
                child = event.child_workflow_execution_started_event_attributes.workflow_execution
                async for of_child in histories_of(client, child.workflow_id, child.run_id):
                    yield of_child
            if event.HasField("workflow_execution_continued_as_new_event_attributes"):
                run_id = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id


def keep(history: WorkflowHistory, path: Path) -> None:
    """Writes one history (`zcat` shows it), without what only tells of the machine that it was recorded on."""
    text = re.sub(r'("(?:identity|stackTrace)": )"(?:[^"\\]|\\.)*"', r'\1""', history.to_json())
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def load(path: Path) -> WorkflowHistory:
    """Reads one history, with the workflow id that its first event tells: workflows name their children after it."""
    text = gzip.decompress(path.read_bytes()).decode()
    history = WorkflowHistory.from_json("", text)
    workflow_id = history.events[0].workflow_execution_started_event_attributes.workflow_id
    return WorkflowHistory.from_json(workflow_id, text)


async def record(server: TemporalServer, name: str, folder: Path) -> int:
    """Plays one story in a namespace of its own and keeps what it leaves; answers how many histories."""
    client = await server.new_namespace()
    wanted = await STORIES[name](client)
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir(parents=True)
    count = 0
    for workflow_id in wanted:
        async for history in histories_of(client, workflow_id):
            count += 1
            words = re.sub(r"[^A-Za-z0-9-]+", "-", history.workflow_id)
            keep(history, folder / name / f"{count:02d}-{words}.json.gz")
    return count


async def main(wanted: list[str]) -> None:
    """Records the stories that were named, or all."""
    folder = HISTORIES / towline.__version__
    if unknown := set(wanted) - set(STORIES):
        sys.exit(f"no story {', '.join(sorted(unknown))}; there are {', '.join(STORIES)}")
    if not wanted:
        shutil.rmtree(folder, ignore_errors=True)
    async with temporal_server() as server:
        for name in wanted or STORIES:
            print(f"{name}: {await record(server, name, folder)} histories", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
