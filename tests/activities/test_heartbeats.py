"""Heartbeats of activities that do not beat themselves, and what becomes of them when their worker ends."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.common import RetryPolicy

from activities.heartbeats import Beats
from tests.harness.temporal import TemporalServer, eventually, running_worker

pytestmark = pytest.mark.slow

ATTEMPTS: list[int] = []


@activity.defn
async def slow(seconds: float) -> int:
    attempt = activity.info().attempt
    ATTEMPTS.append(attempt)
    await asyncio.sleep(seconds if attempt == 1 else 0)
    return attempt


@workflow.defn(sandboxed=False)
class Slow:
    @workflow.run
    async def run(self, seconds: float) -> int:
        return await workflow.execute_activity(
            slow,
            seconds,
            start_to_close_timeout=timedelta(minutes=1),
            heartbeat_timeout=timedelta(seconds=1 if seconds < 60 else 60),
            retry_policy=RetryPolicy(maximum_attempts=3, initial_interval=timedelta(milliseconds=10)),
        )


async def test_an_activity_that_takes_longer_than_its_heartbeat_timeout_is_left_alone(temporal: TemporalServer) -> None:
    async with running_worker(temporal.client, workflows=[Slow], activities=[slow], interceptors=[Beats()]) as worker:
        answer = await temporal.client.execute_workflow(
            Slow.run, 2.5, id=f"slow-{uuid.uuid4()}", task_queue=worker.task_queue
        )
    assert answer == 1


async def test_an_activity_whose_worker_ends_is_left_to_the_next_one(temporal: TemporalServer) -> None:
    queue = f"slow-{uuid.uuid4()}"
    both: dict[str, Any] = {"workflows": [Slow], "activities": [slow], "interceptors": [Beats()], "task_queue": queue}
    both["graceful_shutdown_timeout"] = timedelta(seconds=0.2)  # as the worker has one: it changes how it is told
    ATTEMPTS.clear()
    async with running_worker(temporal.client, **both):
        handle = await temporal.client.start_workflow(Slow.run, 3600.0, id=queue, task_queue=queue)
        await eventually(lambda: ATTEMPTS)
    async with running_worker(temporal.client, **both):
        async with asyncio.timeout(20):  # not by the heartbeat timeout
            assert await handle.result() == 2
