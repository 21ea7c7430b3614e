"""Simulated instances: the same orders and events, without a host. For tests, rehearsals and the scale benchmark.

    FakeTransport("web-03", FakeHosts(fail={"web-03": "AfterInstall"}), FakeSettings(seconds=2))

`FakeHosts` is the state of the hosts: it records what was started there, so that a second attempt attaches and promise
1 can be tested. A simulated deployment continues without a connection, by the clock, like a detached runner.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towline.errors import Unreachable
from towline.model.fleet.instance import FakeSettings
from towline.model.host.events import EVENT, Attached, HostEvent
from towline.transports.base import Order, Reply, Transport

Record = dict[str, Any]

_POLL_SECONDS = 0.05


@dataclass
class _Played:
    """One simulated run: its start time and whole journal, each record due at its offset."""

    began: float
    journal: list[Record]
    order: Order

    def halt(self, elapsed: float) -> None:
        """Ends the run after the current event; no further event starts."""
        kept = [event for event in self.journal if event["offset"] <= elapsed or _ends(event, self._open(elapsed))]
        if len(kept) >= len(self.journal) - 1:
            return  # ended, or in its last event
        offset = max(kept[-1]["offset"], elapsed)
        end = {"v": 1, "seq": len(kept) + 1, "time": self.began + offset, "offset": offset}
        self.journal = [*kept, {**end, "kind": "finished", "outcome": "stopped", "message": "halted"}]

    def _open(self, elapsed: float) -> str:
        begun = [
            event["event"] for event in self.journal if event["kind"] == "event_started" and event["offset"] <= elapsed
        ]
        return begun[-1] if begun else ""


def _ends(event: Record, name: str) -> bool:
    return bool(event["kind"] == "event_ended" and event["event"] == name)


@dataclass
class FakeHosts:
    """The simulated hosts of one worker or test.

    Args:
        fail: by instance, the lifecycle event that fails there.
        unreachable: names of hosts that do not answer; may change during use.
        clock: wall time in seconds.
    """

    fail: Mapping[str, str] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    clock: Callable[[], float] = time.time
    starts: list[tuple[str, str]] = field(default_factory=list)  # (deployment, instance), in order
    runs: dict[tuple[str, str], _Played] = field(default_factory=dict)

    def play(self, order: Order, settings: FakeSettings) -> bool:
        """Starts the run of this order; returns whether it existed already. An undo never fails."""
        key = (order["deployment"], order["instance"])
        if key in self.runs:
            return True
        failing = settings.fail or self.fail.get(order["instance"]) if order["do"] == "deploy" else None
        now = self.clock()
        self.starts.append(key)
        self.runs[key] = _Played(now, list(_journal(order, now, settings.seconds, failing)), order)
        return False

    def installed(self, instance: str) -> dict[str, Record]:
        """The `groups` of an instance's inventory: the last successful installation by group id."""
        groups: dict[str, Record] = {}
        for (deployment, name), run in self.runs.items():
            if name == instance and run.order["do"] == "deploy" and run.journal[-1].get("outcome") == "succeeded":
                there = {"deployment": deployment, **(run.journal[0]["revision"] or {})}
                groups[run.order["group"]["id"]] = {"installed": there, "succeeded": there}
        return groups


class FakeTransport(Transport):
    """Simulates the runner of one host."""

    def __init__(self, name: str, hosts: FakeHosts, settings: FakeSettings | None = None) -> None:
        self._name = name
        self._hosts = hosts
        self._settings = settings or FakeSettings()
        self._order: Order = {}
        self._was_there = False

    async def start_or_attach(self, order: Order) -> None:
        """See Transport. Raises Unreachable if the settings or FakeHosts say so."""
        await asyncio.sleep(0)
        self._check_line()
        self._order = order
        if order["do"] in ("deploy", "undo"):
            self._was_there = self._hosts.play(order, self._settings)

    async def follow(self) -> AsyncGenerator[HostEvent, None]:
        """See Transport."""
        order = self._order
        if order["do"] not in ("deploy", "undo"):
            yield as_event(self._answer(order))
            return
        run = self._hosts.runs[order["deployment"], order["instance"]]
        if self._was_there:
            yield Attached()
        position = order.get("after", 0)
        while position < len(run.journal):
            event = run.journal[position]
            late = run.began + event["offset"] - self._hosts.clock()
            self._check_line()
            if late > 0:
                await asyncio.sleep(min(late, _POLL_SECONDS))
                continue  # a halt may have arrived in the meantime
            yield as_event(event)
            position += 1

    async def send(self, reply: Reply, body: Path | bytes | None = None) -> None:
        """See Transport; only a halt has an effect, since a simulated runner needs nothing."""
        if reply.get("halt"):
            self._halt(self._order)

    async def close(self) -> None:
        """See Transport."""

    def _check_line(self) -> None:
        if self._settings.unreachable or self._name in self._hosts.unreachable:
            raise Unreachable(f"{self._name} does not answer (played)")

    def _halt(self, order: Order) -> None:
        run = self._hosts.runs.get((order["deployment"], order["instance"]))
        if run:
            run.halt(self._hosts.clock() - run.began)

    def _answer(self, order: Order) -> Record:
        if order["do"] == "halt":
            self._halt(order)
        answers: dict[str, Record] = {
            "halt": {},
            "inventory": {"groups": self._hosts.installed(self._name)},
            "check": {"findings": [], "time": self._hosts.clock()},
            "logs": {"text": ""},
            "plan": {
                "removed": [],
                "added": [],
                "changed": [],
                "unchanged": 0,
                "run": [],
                "runs_now": None,
                "complete": True,
            },
        }
        return {"kind": order["do"], **answers[order["do"]]}


def as_event(record: Record) -> HostEvent:
    """A record of the host protocol as an event."""
    return EVENT.validate_python(record, strict=False)


def _journal(order: Order, now: float, seconds: float, failing: str | None) -> Iterable[Record]:
    """The whole journal of a run that takes `seconds`, and in which the event `failing` fails."""
    key = {name: order[name] for name in ("deployment", "run", "instance")}
    revision = order.get("revision")
    label = revision and {"label": revision["label"], "sha256": revision["sha256"]}
    steps: list[tuple[float, Record]] = [
        (
            0.0,
            {
                "kind": "started",
                "key": key,
                "do": order["do"],
                "revision": label,
                "before": {},
                "boot_id": "",
                "pid": 0,
            },
        )
    ]
    names = order.get("events", ())
    each = seconds / max(1, len(names))
    end: Record = {"outcome": "succeeded"}
    offset = 0.0
    for name in names:
        steps.append((offset, {"kind": "event_started", "event": name}))
        offset += each
        if name == failing:
            end = {
                "error_code": 4,
                "script_name": f"scripts/{name}.sh",
                "message": f"Script at specified location: scripts/{name}.sh failed with exit code 1",
                "log": f"[stderr]played failure of {name}\n",
            }
            steps.append((offset, {"kind": "event_ended", "event": name, "status": "Failed", **end}))
            end = {"outcome": "failed", "failed_event": name, **end}
            break
        steps.append((offset, {"kind": "event_ended", "event": name, "status": "Succeeded", "error_code": 0}))
    steps.append((offset, {"kind": "finished", **end}))
    for seq, (at, event) in enumerate(steps, start=1):
        yield {"v": 1, "seq": seq, "time": now + at, "offset": at, **event}
