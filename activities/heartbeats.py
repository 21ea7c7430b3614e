"""Sends heartbeats for every activity while it runs.

Without heartbeats a killed worker is noticed only by the activity's start-to-close timeout, minutes later.
`deploy_instance` sends its own, since they report its progress.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

OWN = ("deploy_instance",)
BEATS_PER_TIMEOUT = 3


class Beats(Interceptor):
    """Give it to each worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """See Interceptor."""
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        if info.activity_type in OWN:
            return await self.next.execute_activity(input)
        beats = asyncio.create_task(_beat(info.heartbeat_timeout)) if info.heartbeat_timeout else None
        try:
            return await self.next.execute_activity(input)
        finally:
            if beats:
                beats.cancel()


async def _beat(timeout: timedelta) -> None:
    while True:  # the rest comes first: most are done by then, and each beat is a write in Temporal's database
        await asyncio.sleep(timeout.total_seconds() / BEATS_PER_TIMEOUT)
        activity.heartbeat()
