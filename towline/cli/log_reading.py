"""The scripts' logs of a deployment: from the store where an instance has ended, from the host where it is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from towline import errors
from towline.cli.door import Door
from towline.cli.output import result, say
from towline.deployments.instance_status import Live
from towline.deployments.records import Records, in_parallel
from towline.model.deployment.describe import printable
from towline.model.deployment.status import TargetStatus
from towline.model.fleet.instance import Target
from towline.model.host.events import ScriptLog
from towline.model.host.order import AskHosts, HostAnswers
from towline.model.messages import DeploymentOrder, FleetPage, fleet_prefix, order_key
from towline.model.worker_call import WorkerCall
from towline.worker_call import call_worker

LOOK_SECONDS = 2.0
LIVE_AT_MOST = 10
"""Hosts that are asked for what they write right now; each question is a connection of its own."""


async def print_logs(door: Door, text: str, instance: str | None, *, failed: bool, follow: bool) -> None:
    """Prints the logs that were asked for. Raises `NotFound` where there are none."""
    deployment_id = await door.find(text)
    records = await door.records()
    hosts = HostLogs(door, records, deployment_id)
    tails = Tails(with_names=instance is None)
    while True:
        has_closed = await door.has_closed(deployment_id)
        live = await door.live_or_recorded(deployment_id, await door.view(deployment_id))
        flying = [name for name in _chosen(live, instance, failed=failed) if _is_flying(live[name])]
        ended = [name for name in _chosen(live, instance, failed=failed) if name not in flying]
        tails.print_new(await hosts.read(flying), is_whole=False)
        tails.print_new(await asyncio.to_thread(_stored, records, deployment_id, ended), is_whole=True)
        if has_closed or not follow:
            break
        await asyncio.sleep(LOOK_SECONDS)
    if not tails.has_printed:
        _nothing(deployment_id, instance, has_failures=not failed or bool(ended))


class Tails:
    """How much of each instance's log was printed. What an instance is still writing is printed by whole lines."""

    def __init__(self, with_names: bool) -> None:
        self._with_names = with_names
        self._printed: dict[str, int] = {}

    @property
    def has_printed(self) -> bool:
        """Whether there was anything."""
        return bool(self._printed)

    def print_new(self, logs: Mapping[str, bytes], *, is_whole: bool) -> None:
        """Prints what is new in these logs."""
        for name, data in logs.items():
            start = self._printed.get(name, 0)
            end = len(data) if is_whole else data.rfind(b"\n") + 1
            if end > start:
                self._printed[name] = end
                self._print(name, data[start:end].decode(errors="replace"))

    def _print(self, name: str, text: str) -> None:
        # A log must not steer the terminal of whoever reads it.
        head = f"{name}  " if self._with_names else ""
        for line in text.rstrip("\n").split("\n"):
            result(f"{head}{printable(line)}")


class HostLogs:
    """Asks hosts for the log that a deployment is writing there, through a worker."""

    def __init__(self, door: Door, records: Records, deployment_id: str) -> None:
        self._door = door
        self._records = records
        self._deployment_id = deployment_id
        self._order: DeploymentOrder | None = None
        self._targets: dict[str, Target] = {}

    async def read(self, names: list[str]) -> dict[str, bytes]:
        """The logs as they are now; of hosts that do not answer nothing, they are asked again."""
        if len(names) > LIVE_AT_MOST:
            say(f"{len(names)} instances are at work; the logs of the others come when they end.")
        if names and self._order is None:
            await asyncio.to_thread(self._load)
        told = await asyncio.gather(*(self._ask(name) for name in names[:LIVE_AT_MOST]))
        return {name: text for name, text in zip(names, told, strict=False) if text}

    def _load(self) -> None:
        store = self._records.store
        self._order = DeploymentOrder.model_validate_json(store.get(order_key(self._deployment_id)))
        for key in store.keys(fleet_prefix(self._deployment_id)):
            page = FleetPage.model_validate_json(store.get(key))
            self._targets |= {target.name: target for target in page.targets}

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
        answers = (await call_worker(self._door.deployments.temporal, call, HostAnswers)).answers
        return "".join(one.answer.text for one in answers if isinstance(one.answer, ScriptLog)).encode()


def _chosen(live: Mapping[str, Live], instance: str | None, *, failed: bool) -> Iterable[str]:
    if instance is not None and instance not in live:
        raise errors.NotFound(f"{instance} is not in this deployment.", "See: towline status ID")
    for name, one in live.items():
        is_failed = one.status in (TargetStatus.FAILED, TargetStatus.UNKNOWN)
        has_begun = one.status not in (TargetStatus.PENDING, TargetStatus.SKIPPED)
        if instance in (None, name) and has_begun and (is_failed or not failed):
            yield name


def _is_flying(one: Live) -> bool:
    return one.status is TargetStatus.IN_PROGRESS


def _stored(records: Records, deployment_id: str, names: list[str]) -> dict[str, bytes]:
    logs = in_parallel(lambda name: records.log(deployment_id, name) or b"", names)
    return dict(zip(names, logs, strict=True))


def _nothing(deployment_id: str, instance: str | None, *, has_failures: bool) -> None:
    if not has_failures:
        say("No instance failed.")
        return
    whose = f" of {instance}" if instance else ""
    raise errors.NotFound(f"there is no log{whose} in {deployment_id}.", f"See: towline status {deployment_id}")
