"""What cannot be decoded ends a deployment by name, or stops it: no workflow stays open with a failing task."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle
from temporalio.common import RawValue

from tests.harness.fakes import FakeActivities, WorkflowSite, ended, view_of
from tests.harness.temporal import TemporalServer, eventually
from towline.model import names
from towline.model.messages.view import DeploymentView

pytestmark = pytest.mark.slow


def raw(data: bytes, encoding: str = "json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding.encode()}, data=data))


UNREADABLE = {
    "a lone surrogate": raw(b'{"description": "\\ud800"}'),
    "500 nested lists": raw(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"),
    "no JSON": raw(b"{"),
    "no UTF-8": raw(b'"\xff"'),
    "a number beyond all": raw(b"9" * 10_000),
    "another encoding": raw(b"\x00", "binary/protobuf"),
    "no encoding": RawValue(Payload(data=b"{}")),
}


async def test_an_input_that_cannot_be_decoded_is_an_invalid_request(temporal: TemporalServer) -> None:
    client = await temporal.new_namespace()
    async with WorkflowSite(client, FakeActivities()):
        for what, value in UNREADABLE.items():
            handle = await client.start_workflow(
                names.DEPLOYMENT,
                value,
                id=f"d-{uuid.uuid4().hex[:9]}",
                task_queue=names.TASK_QUEUE,
                result_type=DeploymentView,
            )
            told = (await ended(handle)).info.error_information
            assert told and told.code == "InvalidRequest", what
            assert "input: it cannot be read: " in told.message, what


async def test_a_stop_that_cannot_be_decoded_stops(temporal: TemporalServer) -> None:
    client, fakes = await temporal.new_namespace(), FakeActivities(hosts=2)
    async with WorkflowSite(client, fakes) as site:
        for what, value in UNREADABLE.items():
            fakes.held.update(("web-01", "web-02"))
            handle = await site.start()
            await eventually(lambda: fakes.in_flight)
            await handle.signal(names.PAUSE, value)
            await eventually(lambda handle=handle: is_paused(handle))  # type: ignore[misc]
            await handle.signal(names.SHARD_PROGRESS, value)
            await handle.signal(names.CANCEL, value)
            fakes.held.clear()
            assert (await ended(handle)).info.status == "Stopped", what


async def is_paused(handle: WorkflowHandle[Any, Any]) -> bool:
    return bool((await view_of(handle)).progress.paused)
