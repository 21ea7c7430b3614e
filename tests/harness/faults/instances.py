"""Instances that keep their own count of what was done: below a folder of this machine, or in the fleet in a box.

Every hook of the bundle appends a line to `/srv/runs` of its instance and syncs it before it does anything else. That
file is the instance's word, not towline's: a hook that was started twice stands in it twice. A file `/srv/hold-EVENT`
makes hooks of that event wait, `/srv/hold-PID` one hook, `/srv/fail-VERSION` makes AfterInstall of that version fail.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.harness.fleet.box import Fleet, Host

EVENTS = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
STATE = "/var/lib/towline"
T = TypeVar("T")

HOOK = """\
#!/bin/sh
runs="$TOWLINE_ROOT/srv/runs"
version=$(cat "${0%/*}/version")
echo "$DEPLOYMENT_ID $LIFECYCLE_EVENT $version $$" >> "$runs" && sync "$runs"
hold="$TOWLINE_ROOT/srv/hold"
while [ -e "$hold-$LIFECYCLE_EVENT" ] || [ -e "$hold-$$" ]; do sleep 0.05; done
if [ "$LIFECYCLE_EVENT" = AfterInstall ] && [ -e "$TOWLINE_ROOT/srv/fail-$version" ]; then
  echo "no such port" >&2
  exit 1
fi
echo "$DEPLOYMENT_ID $LIFECYCLE_EVENT ended" >> "$TOWLINE_ROOT/srv/ends"
"""


@dataclass(frozen=True)
class Run:
    """A hook that began, by its instance's own word."""

    deployment: str
    event: str
    version: str
    pid: int


class GrowingFile(Generic[T]):
    """A file to which lines are only added, each read and parsed once: looking again costs one `stat`."""

    def __init__(self, path: Callable[[], Path], parse: Callable[[str], T]) -> None:
        """`path` is asked each time: a host that boots again is reached by another one."""
        self._path, self._parse = path, parse
        self._read = 0
        self._parsed: list[T] = []

    @property
    def lines(self) -> list[T]:
        """What stands in it, as far as it is whole lines; what is known already where it cannot be read now."""
        try:
            path = self._path()
            size = os.stat(path).st_size
            if size < self._read:  # a torn last line was cut off and another one written
                self._read, self._parsed = 0, []
            if size > self._read:
                with path.open("rb") as file:
                    file.seek(self._read)
                    whole, newline, _ = file.read().rpartition(b"\n")
                self._read += len(whole) + len(newline)
                self._parsed += [self._parse(line.decode()) for line in whole.splitlines()]
        except (FileNotFoundError, ProcessLookupError):
            pass
        return self._parsed


class Instance:
    """What every kind of instance is asked and told; where its files and its processes are differs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._runs = GrowingFile(partial(self.path, "/srv/runs"), _run)
        self._ends = GrowingFile(partial(self.path, "/srv/ends"), str)
        self._journals: dict[str, GrowingFile[dict[str, Any]]] = {}
        self._finished: set[str] = set()

    # ── where it is ──────────────────────────────────────────────────────────────────────────────────────────────

    def path(self, path: str) -> Path:
        """A path of the instance as this machine reaches it."""
        raise NotImplementedError

    @property
    def processes(self) -> Path:
        """The `/proc` that tells of its processes by their numbers there."""
        raise NotImplementedError

    @property
    def record(self) -> dict[str, Any]:
        """How it is declared: `local` or `ssh`."""
        raise NotImplementedError

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Sends a signal to one of its processes; whether that was still there."""
        raise NotImplementedError

    # ── what it is told ──────────────────────────────────────────────────────────────────────────────────────────

    def hold(self, what: str | int) -> None:
        """Hooks of this event, or the hook with this process id, wait from now on."""
        self._touch(f"/srv/hold-{what}")

    def let_go(self, what: str | int) -> None:
        self.path(f"/srv/hold-{what}").unlink(missing_ok=True)

    def fail(self, version: str) -> None:
        """AfterInstall of this version fails here."""
        self._touch(f"/srv/fail-{version}")

    def mend(self, version: str) -> None:
        """It does not fail any more."""
        self.path(f"/srv/fail-{version}").unlink(missing_ok=True)

    def _touch(self, path: str) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).touch()

    # ── what it tells ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def runs(self) -> list[Run]:
        """The hooks that began, in order."""
        return self._runs.lines

    def run_of(self, deployment: str, event: str) -> Run | None:
        """The hook of a deployment's event, if it has begun."""
        return next((run for run in self.runs if (run.deployment, run.event) == (deployment, event)), None)

    @property
    def ends(self) -> list[str]:
        """`DEPLOYMENT EVENT ended` of the hooks that came to their end."""
        return self._ends.lines

    @property
    def installed(self) -> str:
        """The version whose files are there."""
        page = self.path("/srv/shop/index.html")
        return page.read_text().strip() if page.exists() else ""

    def journal(self, deployment: str) -> list[dict[str, Any]]:
        """What the runner wrote down."""
        if deployment not in self._journals:
            path = partial(self.path, f"{STATE}/journals/{deployment}.jsonl")
            self._journals[deployment] = GrowingFile(path, json.loads)
        return self._journals[deployment].lines

    def has_finished(self, deployment: str) -> bool:
        """Whether its part of a deployment has begun and come to an end, by its journal."""
        records = [] if deployment in self._finished else self.journal(deployment)
        if records and records[-1]["kind"] == "finished":
            self._finished.add(deployment)
        return deployment in self._finished

    def unfinished(self) -> list[str]:
        """The deployments whose journals have no end (yet)."""
        try:
            names = os.listdir(self.path(f"{STATE}/journals"))
        except (FileNotFoundError, ProcessLookupError):
            return []
        begun = (name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))
        return [name for name in begun if name not in self._finished and not self.has_finished(name)]

    def forget(self) -> None:
        """Keeps no journal in memory any more."""
        self._journals.clear()

    def runner_pid(self, deployment: str) -> int:
        """The detached runner."""
        return int(next(record for record in self.journal(deployment) if record["kind"] == "started")["pid"])

    def runners(self) -> Iterator[int]:
        """The detached runners that are at work."""
        for deployment in self.unfinished():
            if any(record["kind"] == "started" for record in self.journal(deployment)):
                pid = self.runner_pid(deployment)
                if self.is_alive(pid):
                    yield pid

    def halt_word(self, deployment: str) -> str:
        """What the runner was asked to do, if it was."""
        file = self.path(f"{STATE}/halt/{deployment}")
        return file.read_text().strip() if file.exists() else ""

    # ── its processes ────────────────────────────────────────────────────────────────────────────────────────────

    def is_alive(self, pid: int) -> bool:
        """Whether a process is there and no zombie."""
        return is_alive(pid, self.processes)

    def group(self, leader: int) -> list[int]:
        """The processes of a process group that are still there."""
        pids = [int(name) for name in os.listdir(self.processes) if name.isdigit()]
        return [
            pid for pid in pids if (told := _stat(pid, self.processes)) and told[0] != "Z" and told[2] == str(leader)
        ]


class LocalHost(Instance):
    """An instance on this machine, below a folder; `path` is where its files are."""

    def __init__(self, name: str, root: Path) -> None:
        super().__init__(name)
        self.root = root

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    @property
    def processes(self) -> Path:
        return Path("/proc")

    @property
    def record(self) -> dict[str, Any]:
        return {"local": {"root": str(self.root), "host": socket.gethostname()}}

    def signal(self, pid: int, number: signal.Signals) -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def end_all(self) -> None:
        """Ends hooks and runners that are left."""
        for hold in self.path("/srv").glob("hold-*"):
            hold.unlink()
        runners = set(self.runners())
        for pid in {run.pid for run in self.runs} | runners:
            if pid in runners or str(self.root) in environment_of(pid):
                self.signal(pid, signal.SIGKILL)


class BoxHost(Instance):
    """A host of the fleet in a box (`tests/harness/fleet/box.py`)."""

    def __init__(self, fleet: Fleet, box: Host, **ssh: Any) -> None:
        """`ssh` are settings of its own, such as how long it may be out of reach."""
        super().__init__(box.name)
        self.fleet, self.box = fleet, box
        self._ssh = fleet.settings(box.name, **ssh)

    def path(self, path: str) -> Path:
        # Its disk outlives its power: what is in memory only, as /tmp and /run, does not lie there.
        return self.box.path(path) if self.box.pid else self.box.folder / "upper" / path.lstrip("/")

    @property
    def processes(self) -> Path:
        return self.path("/proc")

    @property
    def record(self) -> dict[str, Any]:
        return {"ssh": self._ssh.model_dump(mode="json", by_alias=True, exclude_none=True)}

    def signal(self, pid: int, number: signal.Signals) -> bool:
        return "gone" not in self.box.run(f"kill -{number.value} {pid} || echo gone", check=False)

    def is_alive(self, pid: int) -> bool:
        return bool(self.box.pid) and super().is_alive(pid)


def is_alive(pid: int, processes: Path = Path("/proc")) -> bool:
    """Whether a process is there and no zombie."""
    told = _stat(pid, processes)
    return bool(told) and told[0] != "Z"


def children_of(parents: set[int], word: str) -> list[int]:
    """The processes of this machine that these have started, and whose command has this word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        told = _stat(int(folder.name), folder.parent)
        if told and int(told[1]) in parents:
            with contextlib.suppress(OSError):
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return found


def environment_of(pid: int) -> str:
    """A process's environment; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _stat(pid: int, processes: Path) -> list[str]:
    """State, parent, group, … of a process; nothing where it is gone."""
    try:
        return (processes / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _run(line: str) -> Run:
    deployment, event, version, pid = line.split()
    return Run(deployment, event, version, int(pid))
