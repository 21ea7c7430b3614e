"""The catalogue on a real server: versions, conflicts, pages, new runs, cancel, termination."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner

from tests.harness.temporal import TemporalServer, eventually, running_worker
from towline.catalogue import table_workflow
from towline.catalogue.repository import Catalogue, CatalogueConflict, CatalogueFull
from towline.errors import TemporalUnavailable
from towline.model import names
from towline.model.catalogue.records import Change, Unchanged
from workflows import temporal_helpers
from workflows.catalogue import CatalogueWorkflow

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    client = await temporal.new_namespace()
    async with running_worker(client, workflows=[CatalogueWorkflow], task_queue=names.TASK_QUEUE):
        yield client


def instance(number: int) -> Change:
    tags = {"role": "web", "env": "production"}
    value = {"instanceName": f"web-{number:05d}", "zone": "a", "tags": tags, "use": "dc1"}
    return Change(key=f"instance/web-{number:05d}", value=value)


async def test_a_record_is_written_read_changed_and_removed(client: Client) -> None:
    catalogue = Catalogue(client, by="ann")
    assert await catalogue.read_all("instance") == {}
    first = await catalogue.write([instance(1)])
    record = (await catalogue.read(["instance/web-00001", "instance/none"]))["instance/web-00001"]
    assert record.value["zone"] == "a"
    assert record.version == first["instance/web-00001"]
    assert record.by == "ann"
    assert record.at
    changed = await catalogue.write([Change(key=record.key, version=record.version, value={"zone": "b"})])
    assert changed[record.key] > record.version
    await catalogue.write([Change(key=record.key, version=changed[record.key], value=None)])
    assert await catalogue.read_all("instance") == {}


async def test_the_second_of_two_writers_is_told_who_was_first(client: Client) -> None:
    ann, bob = Catalogue(client, by="ann"), Catalogue(client, by="bob")
    version = (await ann.write([Change(key="config/c", value={"n": 0})]))["config/c"]
    await ann.write([Change(key="config/c", version=version, value={"n": 1})])
    with pytest.raises(CatalogueConflict, match=r"config/c \(by ann at 2") as conflict:
        await bob.write([Change(key="config/c", version=version, value={"n": 2})])
    current = conflict.value.refused[0].current
    assert current is not None
    assert current.value == {"n": 1}
    assert (await bob.read(["config/c"]))["config/c"].value == {"n": 1}


async def test_of_two_processes_that_create_one_name_in_the_same_instant_one_wins(
    client: Client, temporal: TemporalServer
) -> None:
    other = await Client.connect(temporal.address, namespace=client.namespace, data_converter=pydantic_data_converter)
    ann, bob = Catalogue(client, by="ann"), Catalogue(other, by="bob")
    keys = [f"application/app-{number}" for number in range(50)]

    async def create(catalogue: Catalogue, key: str) -> bool:
        try:
            await catalogue.write([Change(key=key, value={"applicationName": key})])
        except CatalogueConflict:
            return False
        return True

    won = await asyncio.gather(*(create(catalogue, key) for key in keys for catalogue in (ann, bob)))
    assert [sum(pair) for pair in zip(won[::2], won[1::2], strict=True)] == [1] * len(keys)
    found = await ann.read(keys)
    assert {record.by for record in found.values()} <= {"ann", "bob"}
    assert found == await bob.read(keys)


async def test_writes_travel_together_and_a_refused_one_refuses_no_other(client: Client) -> None:
    catalogue = Catalogue(client)
    await catalogue.write([instance(0)])
    writes = [catalogue.write([instance(number)]) for number in range(200)]
    ends = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(ends[0], CatalogueConflict)
    assert not any(isinstance(end, BaseException) for end in ends[1:])
    assert len(await catalogue.read_all("instance")) == 200
    history = await client.get_workflow_handle(names.catalogue_table("instance/")).fetch_history()
    assert len(history.events) < 60


async def test_what_must_change_together_is_one_batch_however_large(client: Client) -> None:
    catalogue = Catalogue(client)
    groups = [Change(key=f"group/shop/{number}", value={"description": "x" * 500}) for number in range(1_000)]
    application = Change(key="application/shop", value={"applicationName": "shop"})
    with pytest.raises(CatalogueConflict, match="config/none"):
        await catalogue.write([application, *groups], exists=["config/none"])
    assert await catalogue.read_all("application", "group") == {}
    versions = await catalogue.write([application, *groups])
    renamed = [
        change
        for old in groups
        for change in (
            Change(key=old.key, version=versions[old.key], value=None),
            Change(key=old.key.replace("shop", "store"), value=old.value),
        )
    ]
    await catalogue.write(renamed, unchanged=[Unchanged(prefix="group/shop/", version=max(versions.values()))])
    found = await catalogue.read_all("group")
    assert len(found) == 1_000 and all(key.startswith("group/store/") for key in found)


async def test_full_is_an_error_that_names_the_limit(client: Client) -> None:
    catalogue = Catalogue(client)
    await catalogue.write(Change(key=f"application/{number}", value={}) for number in range(1_000))
    with pytest.raises(CatalogueFull, match="1,000 applications is the most") as full:
        await catalogue.write([Change(key="application/more", value={})])
    assert full.value.limit == "application"


async def test_a_read_has_what_others_wrote_before_it_began(client: Client, temporal: TemporalServer) -> None:
    other = await Client.connect(temporal.address, namespace=client.namespace, data_converter=pydantic_data_converter)
    writer, reader = Catalogue(client), Catalogue(other)

    async def write_and_look(number: int) -> None:
        key = f"instance/web-{number:05d}"
        version = (await writer.write([instance(number)]))[key]
        assert (await reader.read([key]))[key].version == version
        await writer.write([Change(key=key, version=version, value=None)])
        assert await reader.read([key]) == {}

    await asyncio.gather(*(write_and_look(number) for number in range(40)))


async def test_two_thousand_instances_written_at_once_are_all_read_back(client: Client) -> None:
    catalogue = Catalogue(client)
    await catalogue.write([instance(number) for number in range(2000)])
    found = await catalogue.read_all("instance")
    assert list(found) == [f"instance/web-{number:05d}" for number in range(2000)]
    assert len(await catalogue.read(list(found))) == 2000


async def test_writers_lose_nothing_while_runs_follow_each_other(
    temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_helpers, "EVENTS_PER_RUN", 25)
    client = await temporal.new_namespace()

    async def write_alone(writer: int) -> None:
        catalogue = Catalogue(client, by=f"w{writer}")
        for number in range(20):
            await catalogue.write([Change(key=f"setting/{writer}-{number}", value={"n": number})])

    # Without the sandbox, which would import it afresh.
    async with running_worker(
        client,
        workflows=[CatalogueWorkflow],
        task_queue=names.TASK_QUEUE,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await asyncio.gather(*(write_alone(writer) for writer in range(16)))
        assert len(await Catalogue(client).read_all("setting")) == 320

    async def number_of_runs() -> bool:
        return (await client.count_workflows(f"WorkflowType = '{names.CATALOGUE}'")).count > 8

    await eventually(number_of_runs)


async def test_native_cancel_changes_nothing(client: Client) -> None:
    catalogue = Catalogue(client)
    await catalogue.write([instance(1)])
    handle = client.get_workflow_handle(names.catalogue_table("instance/web-00001"))
    await handle.cancel()
    await handle.cancel()
    assert (await catalogue.read(["instance/web-00001"])).keys() == {"instance/web-00001"}
    version = (await catalogue.read_all("instance"))["instance/web-00001"].version
    await catalogue.write([Change(key="instance/web-00001", version=version, value={"zone": "c"})])
    assert (await catalogue.read_all("instance"))["instance/web-00001"].value == {"zone": "c"}


async def test_a_terminated_table_goes_on_from_what_it_kept(client: Client) -> None:
    catalogue = Catalogue(client)
    await catalogue.write([Change(key="setting/store", value={"address": "file:///s"})])
    handle = client.get_workflow_handle(names.catalogue_table("setting/store"))
    await handle.terminate("by mistake")

    async def is_closed() -> bool:
        return (await handle.describe()).close_time is not None

    await eventually(is_closed)
    assert await catalogue.store_address() == "file:///s"
    await catalogue.write_store_address("s3://bucket")
    assert await catalogue.store_address() == "s3://bucket"
    assert (await handle.describe()).close_time is None


async def test_without_a_worker_reading_and_writing_say_how_to_start_one(
    temporal: TemporalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(table_workflow, "WRITE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(table_workflow, "READ_TIMEOUT", timedelta(seconds=1))
    catalogue = Catalogue(await temporal.new_namespace())
    assert await catalogue.read_all("instance") == {}
    with pytest.raises(TemporalUnavailable, match="towline worker"):
        await catalogue.write([instance(1)])
    with pytest.raises(TemporalUnavailable, match="towline worker"):
        await catalogue.read(["instance/web-00001"])
    gc.collect()
    assert "never retrieved" not in caplog.text
