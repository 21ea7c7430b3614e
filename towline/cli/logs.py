"""The work of `towline logs`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from towline import errors
from towline.cli.event_loop import with_client
from towline.cli.output import info, result
from towline.deployments.logs import LIVE_AT_MOST, LogReader, with_logs
from towline.deployments.service import DeploymentService
from towline.model.deployment.describe import printable
from towline.model.deployment.status import TargetStatus

LOOK_SECONDS = 2.0


def logs(deployment: str, instance: str | None, *, failed: bool, follow: bool) -> None:
    """Prints the logs of one instance or all. Raises `NotFound` where there are none."""
    with_client(lambda service: print_logs(service, deployment, instance, failed=failed, follow=follow))


async def print_logs(
    service: DeploymentService, text: str, instance: str | None, *, failed: bool, follow: bool
) -> None:
    """Prints the logs that were asked for. Raises `NotFound` where there are none."""
    deployment_id = await service.find(text)
    reader = LogReader(service.temporal, await service.storage.records(), deployment_id)
    tails = Tails(with_names=instance is None)
    while True:
        is_open = await service.is_open(deployment_id)
        live = await service.live_or_recorded(deployment_id, await service.view(deployment_id))
        chosen = list(with_logs(live, instance, failed=failed))
        running = [name for name in chosen if live[name].status is TargetStatus.IN_PROGRESS]
        ended = [name for name in chosen if name not in running]
        if len(running) > LIVE_AT_MOST:
            info(f"{len(running)} instances are at work; the logs of the others come when they end.")
        tails.print_new(await reader.of_running(running), is_whole=False)
        tails.print_new(await reader.of_ended(ended), is_whole=True)
        if not (is_open and follow):
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
        # A log must not steer the terminal it is shown on.
        head = f"{name}  " if self._with_names else ""
        for line in text.rstrip("\n").split("\n"):
            result(f"{head}{printable(line)}")


def _nothing(deployment_id: str, instance: str | None, *, has_failures: bool) -> None:
    if not has_failures:
        info("No instance failed.")
        return
    whose = f" of {instance}" if instance else ""
    raise errors.NotFound(f"there is no log{whose} in {deployment_id}.", f"See: towline status {deployment_id}")
