"""CodeDeploy's DeploymentInfo for many callers: never older than a second, and read without a worker.

Temporal answers from the deployment's memo. Only the counts of large shards at work, which report in steps, are asked
of a worker; where none answers soon, the memo's counts stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from towline.deployments.handle import DeploymentHandle
from towline.deployments.names_now import NamesNow
from towline.model import names
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.memo import DeploymentMemo, ShardCounts
from towline.model.messages.shard import ShardProgress
from towline.model.messages.view import DeploymentView
from towline.singleflight import KeptReads

KEPT = 1000
SECONDS = 0.6
RENEW_SECONDS = 0.25
"""The age from which an answer is renewed while it is still given. A small shard reports up to 0.4 s late besides."""

SHARD_TIMEOUT = timedelta(seconds=0.5)


class DeploymentInfos:
    """Answers are shared by all callers in this process. `view_if_any` reads what no memo tells."""

    def __init__(
        self, client: Client, view_if_any: Callable[[str], Awaitable[DeploymentView | None]], names_now: NamesNow
    ) -> None:
        self._client, self._view_if_any, self._names_now = client, view_if_any, names_now
        self._kept: KeptReads[DeploymentMemo | None] = KeptReads(KEPT, SECONDS, RENEW_SECONDS)

    async def get(self, deployment_id: str) -> DeploymentInfo | None:
        """The DeploymentInfo, with the names that application and group have now; None: there is no such deployment.

        Raises `TemporalUnavailable`.
        """
        found = await self._kept.read(deployment_id, lambda: self._read(deployment_id))
        return found.info_named(await self._names_now.get()) if found else None

    async def _read(self, deployment_id: str) -> DeploymentMemo | None:
        memo = await DeploymentHandle(self._client, deployment_id).memo()
        if memo is None:
            view = await self._view_if_any(deployment_id)
            return DeploymentMemo.of_view(view) if view else None
        if not memo.counts.shards or memo.info.status.is_final:
            return memo
        asked = (self._counts(deployment_id, shard.index) for shard in memo.counts.shards)
        return memo.moved_on(counts for counts in await asyncio.gather(*asked) if counts)

    async def _counts(self, deployment_id: str, index: int) -> ShardCounts | None:
        """How far a shard is now; None where that cannot be said soon."""
        shard = self._client.get_workflow_handle(names.shard_workflow_id(deployment_id, index))
        try:
            progress: ShardProgress = await shard.query(
                names.SHARD_PROGRESS_NOW, result_type=ShardProgress, rpc_timeout=SHARD_TIMEOUT
            )
        except (RPCError, TimeoutError):
            return None
        return ShardCounts.of_progress(progress)
