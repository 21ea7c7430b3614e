"""The scripts' logs of a deployment, from the store; new text is printed as it comes, where that is asked for."""

from __future__ import annotations

import asyncio

from towline import errors
from towline.cli.door import Door
from towline.cli.say import result, say
from towline.model.status import Outcome
from towline.model.telling import printable
from towline.records import Records, in_parallel

LOOK_SECONDS = 1.0


class Tails:
    """How much of each instance's log was printed; prints whole lines only, until the end."""

    def __init__(self, records: Records, deployment_id: str, with_names: bool) -> None:
        self._records = records
        self._deployment_id = deployment_id
        self._with_names = with_names
        self._printed: dict[str, int] = {}

    def print_new(self, instances: list[str], *, is_last: bool) -> bool:
        """Prints what is new; whether there was anything ever."""
        logs = in_parallel(lambda name: self._records.log(self._deployment_id, name) or b"", instances)
        for name, data in zip(instances, logs, strict=True):
            start = self._printed.get(name, 0)
            end = len(data) if is_last else data.rfind(b"\n") + 1
            if end > start:
                self._printed[name] = end
                self._print(name, data[start:end].decode(errors="replace"))
        return bool(self._printed)

    def _print(self, name: str, text: str) -> None:
        # A log must not steer the terminal of whoever reads it.
        head = f"{name}  " if self._with_names else ""
        for line in text.rstrip("\n").split("\n"):
            result(f"{head}{printable(line)}")


async def print_logs(door: Door, text: str, instance: str | None, *, failed: bool, follow: bool) -> None:
    """Prints the logs that were asked for. Raises `NotFound` where there are none."""
    deployment_id = await door.find(text)
    tails = Tails(await door.records(), deployment_id, with_names=instance is None)
    while True:
        has_ended = not follow or await door.has_closed(deployment_id)
        chosen = [instance] if instance else await _instances(door, deployment_id, failed=failed)
        has_printed = await asyncio.to_thread(tails.print_new, chosen, is_last=has_ended)
        if has_ended:
            break
        await asyncio.sleep(LOOK_SECONDS)
    if has_printed:
        return
    if failed and not chosen:
        say("No instance failed.")
        return
    whose = f" of {instance}" if instance else ""
    raise errors.NotFound(f"there is no log{whose} in {deployment_id}.", f"See: towline status {deployment_id}")


async def _instances(door: Door, deployment_id: str, *, failed: bool) -> list[str]:
    if not failed:
        return await asyncio.to_thread((await door.records()).logged_instances, deployment_id)
    document = await door.document(deployment_id)
    good = (Outcome.SUCCEEDED.value, Outcome.SKIPPED.value)
    told = document["progress"].get("instances", {})
    return [name for name, extra in told.items() if extra.get("outcome") and extra["outcome"] not in good]
