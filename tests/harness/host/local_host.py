"""Starts the real runner as a transport would, and speaks the host protocol with it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towline.model.host.events import UnknownEvent
from towline.transports.event_lines import read_event
from towline.transports.local import packaged_runner_file

RUNNER = packaged_runner_file()
IN_PLACE = [
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
]
Event = dict[str, Any]


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits until `condition()` is true and returns what it returned; fails after `seconds`."""
    ends = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.01)


def tar_of(files: Mapping[str, str | bytes], modes: dict[str, int] | None = None, compressed: bool = True) -> bytes:
    """A bundle with these files; scripts (`*.sh`) are executable."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = (modes or {}).get(name, 0o755 if name.endswith(".sh") else 0o644)
            member.mtime = 1577836800
            member.uid, member.gid = os.getuid(), os.getgid()
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), mtime=0) if compressed else raw.getvalue()


def check_type(kind: str, line: bytes) -> None:
    """Whatever the runner says, the control side understands, and has a type for (towline/model/host/events.py)."""
    understood = read_event(line)
    assert understood and understood.kind == kind and not isinstance(understood, UnknownEvent), line


class Call:
    """One exec of the runner, with its order written and its events read as they come."""

    are_events_known = True
    """False where the journal has records of another version, which the runner passes on."""

    def __init__(
        self,
        order: dict[str, Any],
        python: str = sys.executable,
        env: dict[str, str] | None = None,
        runner: Path = RUNNER,
        user: int | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.process = subprocess.Popen(
            [python, "-I", "-S", str(runner)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            user=user,
            extra_groups=None if user is None else [],
        )
        self.say(order)

    def say(self, value: dict[str, Any]) -> None:
        """One line to the runner."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(value).encode() + b"\n")
        self.process.stdin.flush()

    def send(self, data: bytes) -> None:
        """The answer to a need of the archive."""
        self.say({"reply": "archive", "size": len(data)})
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def __iter__(self) -> Iterator[Event]:
        """Events until the runner ends the output."""
        assert self.process.stdout
        for line in self.process.stdout:
            event = json.loads(line)
            if self.are_events_known:
                check_type(event["kind"], line)
            self.events.append(event)
            yield event

    def until(self, kind: str, **fields: Any) -> Event:
        """The next event of that kind with these fields; fails at the end of output."""
        for event in self:
            if event["kind"] == kind and all(event.get(name) == value for name, value in fields.items()):
                return event
        raise AssertionError(f"no {kind} {fields} in {self.events}; stderr: {self.stderr()}")

    def stderr(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read().decode()

    def hang_up(self) -> None:
        """As when the connection is lost."""
        assert self.process.stdin and self.process.stdout and self.process.stderr
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self.process.wait(30)

    def kill(self) -> None:
        """The connected end alone, hard."""
        self.process.kill()
        self.hang_up()

    def finish(self, archive: bytes | None = None, plans: dict[str, Any] | None = None) -> Event:
        """Answers needs until the output ends; returns the last event (`finished`, `refused` or an answer)."""
        for event in self:
            if event["kind"] != "need":
                continue
            if event["what"] == "archive" and archive is not None:
                self.send(archive)
            elif event["what"] == "plan" and plans:
                self.say({"reply": "plan", "plan": plans[event["deployment"]]})
            else:
                self.say({"reply": "none", "code": "NotInThisTest", "message": event["what"]})
        errors = self.stderr()
        assert self.process.wait(30) == 0, errors
        assert not errors, errors
        self.hang_up()
        return self.events[-1]

    def kinds(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["kind"] == kind]

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.hang_up()


@dataclass
class LocalHost:
    """A host below one directory, as a `local` instance is one."""

    root: Path
    python: str = sys.executable
    env: dict[str, str] | None = None
    runner: Path = RUNNER
    user: int | None = None
    group: dict[str, str] = field(
        default_factory=lambda: {"id": "group-1", "name": "production", "application": "shop"}
    )

    def order(self, do: str, deployment: str = "d-1", archive: bytes = b"", **changes: Any) -> dict[str, Any]:
        """An order with what every order needs."""
        order: dict[str, Any] = {
            "v": 1,
            "do": do,
            "deployment": deployment,
            "run": "run-1",
            "instance": "web-01",
            "after": 0,
            "log_after": 0,
            "root": str(self.root),
            "group": self.group,
            "creator": "user",
            "type": "IN_PLACE",
            "events": IN_PLACE,
            "revision": revision_of(archive) if archive else None,
            "plan": None,
            "url": None,
            "limits": {"lock_wait": 30},
        }
        return {**order, **changes}

    def call(self, do: str, deployment: str = "d-1", archive: bytes = b"", **changes: Any) -> Call:
        return Call(self.order(do, deployment, archive, **changes), self.python, self.env, self.runner, self.user)

    def deploy(self, deployment: str, archive: bytes, plan: dict[str, Any], **changes: Any) -> Call:
        """A whole deployment; the call's last event is its end."""
        call = self.call("deploy", deployment, archive, plan=plan, **changes)
        call.finish(archive)
        return call

    def ask(self, do: str, **changes: Any) -> Event:
        """One of the orders that have one answer."""
        with self.call(do, **changes) as call:
            return call.finish()

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def state(self, path: str) -> Path:
        return self.root / "var/lib/towline" / path

    def journal(self, deployment: str) -> list[Event]:
        text = self.state(f"journals/{deployment}.jsonl").read_bytes()
        return [json.loads(line) for line in text.splitlines()]

    def deployment(self, deployment: str) -> Path:
        return self.root / "opt/codedeploy-agent/deployment-root" / self.group["id"] / deployment


def revision_of(archive: bytes, bundle_type: str = "tgz", env: dict[str, Any] | None = None) -> dict[str, Any]:
    """The order's `revision` of an archive."""
    digest = hashlib.sha256(archive).hexdigest()
    return {
        "label": f"bundle {digest[:7]}",
        "sha256": digest,
        "size": len(archive),
        "bundle_type": bundle_type,
        "env": env or {},
    }


def script(location: str, **more: Any) -> dict[str, Any]:
    """A hook's item as a compiled plan has it."""
    return {"location": location, "timeout": 3600, "runas": None, "sudo": False, **more}


def plan_of(
    files: dict[str, str] | None = None,
    hooks: dict[str, list[dict[str, Any]]] | None = None,
    permissions: list[dict[str, Any]] | None = None,
    file_exists_behavior: str | None = None,
) -> dict[str, Any]:
    """A compiled plan."""
    return {
        "appspec": "appspec.yml",
        "files": [{"source": source, "destination": target} for source, target in (files or {}).items()],
        "permissions": permissions or [],
        "hooks": hooks or {},
        "file_exists_behavior": file_exists_behavior,
    }


def unbase(text: str) -> bytes:
    return base64.b64decode(text)
