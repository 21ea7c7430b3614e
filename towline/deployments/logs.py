"""The scripts' logs of a deployment: from the store where an instance has ended, from the host where it is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from temporalio.client import Client

from towline import errors
from towline.deployments.instance_status import Live
from towline.model.deployment.status import TargetStatus
from towline.model.fleet.instance import Target
from towline.model.host.events import ScriptLog
from towline.model.host.order import AskHosts, HostAnswers
from towline.model.messages.deploy import DeploymentOrder
from towline.model.worker_call import WorkerCall
from towline.store.deployment_records import DeploymentRecords
from towline.store.parallel import in_parallel
from towline.worker_call import call_worker

LIVE_AT_MOST = 10
"""Hosts that are asked for what they write right now; each question is a connection of its own."""


class LogReader:
    """Reads the logs of one deployment, as often as wanted."""

    def __init__(self, client: Client, records: DeploymentRecords, deployment_id: str) -> None:
        self._client = client
        self._records = records
        self._deployment_id = deployment_id
        self._order: DeploymentOrder | None = None
        self._targets: dict[str, Target] = {}

    async def of_ended(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the logs of instances that have ended, by name; empty where none was stored."""
        return await asyncio.to_thread(self._stored, names)

    async def of_running(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the logs as they are now of the first `LIVE_AT_MOST` instances; a host may not answer.

        Raises `TowlineError` where a worker cannot ask at all.
        """
        if names and self._order is None:
            await asyncio.to_thread(self._load)
        read = await asyncio.gather(*(self._ask(name) for name in names[:LIVE_AT_MOST]))
        return {name: text for name, text in zip(names, read, strict=False) if text}

    def _stored(self, names: Sequence[str]) -> dict[str, bytes]:
        logs = in_parallel(lambda name: self._records.log(self._deployment_id, name) or b"", names)
        return dict(zip(names, logs, strict=True))

    def _load(self) -> None:
        self._order = self._records.frozen_order(self._deployment_id)
        self._targets = self._records.targets(self._deployment_id)

    async def _ask(self, name: str) -> bytes:
        target = self._targets.get(name)
        if target is None:
            return b""
        call = WorkerCall(
            activity="ask_hosts",
            argument=AskHosts(do="logs", targets=(target,), order=self._order).model_dump(mode="json"),
            task_queue=target.task_queue or "",
            summary=f"log of {name}",
        )
        answers = (await call_worker(self._client, call, HostAnswers)).answers
        return "".join(one.answer.text for one in answers if isinstance(one.answer, ScriptLog)).encode()


def with_logs(live: Mapping[str, Live], instance: str | None, *, failed: bool) -> Iterator[str]:
    """Yield the names of instances that have begun, and so may have a log; of one, or only of those that failed.

    Raises `NotFound` for an instance that is not in the deployment.
    """
    if instance is not None and instance not in live:
        raise errors.NotFound(f"{instance} is not in this deployment.", "See: towline status ID")
    for name, one in live.items():
        is_failed = one.status in (TargetStatus.FAILED, TargetStatus.UNKNOWN)
        has_begun = one.status not in (TargetStatus.PENDING, TargetStatus.SKIPPED)
        if instance in (None, name) and has_begun and (is_failed or not failed):
            yield name
