"""A site to break: workers as processes of their own, a Temporal server, and instances that keep their own count.

Every hook of the bundle appends a line to `/srv/runs` of its instance and syncs it before it does anything else. That
file is the instance's word, not towline's: a hook that was started twice stands in it twice. A file `/srv/hold-EVENT`
makes hooks of that event wait, `/srv/fail-VERSION` makes AfterInstall of that version fail.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.client import Client

import towline
from tests.support.temporal import eventually
from towline.bundles.local import as_archive, location_of, revision_key
from towline.catalogue import Catalogue
from towline.client import Deployments, Started
from towline.model.catalogue import Change
from towline.model.messages import DeploymentView, DeployRequest
from towline.model.revision import RevisionLocation
from towline.store import open_store

PROJECT = Path(towline.__file__).parent.parent
EVENTS = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")

HOOK = """\
#!/bin/sh
runs="$TOWLINE_ROOT/srv/runs"
version=$(cat "${0%/*}/version")
echo "$DEPLOYMENT_ID $LIFECYCLE_EVENT $version $$" >> "$runs" && sync "$runs"
while [ -e "$TOWLINE_ROOT/srv/hold-$LIFECYCLE_EVENT" ]; do sleep 0.05; done
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


@dataclass
class LocalHost:
    """An instance on this machine; `path` is where its files are."""

    name: str
    root: Path

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def hold(self, event: str) -> None:
        """Hooks of this event wait from now on."""
        self.path("/srv").mkdir(parents=True, exist_ok=True)
        self.path(f"/srv/hold-{event}").touch()

    def let_go(self, event: str) -> None:
        self.path(f"/srv/hold-{event}").unlink(missing_ok=True)

    def fail(self, version: str) -> None:
        """AfterInstall of this version fails here."""
        self.path("/srv").mkdir(parents=True, exist_ok=True)
        self.path(f"/srv/fail-{version}").touch()

    @property
    def runs(self) -> list[Run]:
        """The hooks that began, in order."""
        file = self.path("/srv/runs")
        lines = file.read_text().splitlines() if file.exists() else []
        return [Run(*line.split()[:3], int(line.split()[3])) for line in lines]

    def run_of(self, deployment: str, event: str) -> Run | None:
        """The hook of a deployment's event, if it has begun."""
        return next((run for run in self.runs if (run.deployment, run.event) == (deployment, event)), None)

    @property
    def ends(self) -> list[str]:
        """`DEPLOYMENT EVENT ended` of the hooks that came to their end."""
        file = self.path("/srv/ends")
        return file.read_text().splitlines() if file.exists() else []

    @property
    def installed(self) -> str:
        """The version whose files are there."""
        page = self.path("/srv/shop/index.html")
        return page.read_text().strip() if page.exists() else ""

    def journal(self, deployment: str) -> list[dict[str, Any]]:
        """What the runner wrote down."""
        file = self.path(f"/var/lib/towline/journals/{deployment}.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def runner_pid(self, deployment: str) -> int:
        """The detached runner."""
        return int(next(record for record in self.journal(deployment) if record["kind"] == "started")["pid"])

    def halt_word(self, deployment: str) -> str:
        """What the runner was asked to do, if it was."""
        file = self.path(f"/var/lib/towline/halt/{deployment}")
        return file.read_text().strip() if file.exists() else ""


@dataclass
class WorkerProcess:
    """One `towline worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL: it cannot do anything about it."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def is_at_work(self) -> bool:
        return "at work on" in self.log.read_text()


@dataclass
class Site:
    """One namespace of a Temporal server, and all that belongs to it."""

    folder: Path
    address: str
    client: Client
    store_text: str = ""
    workers: list[WorkerProcess] = field(default_factory=list)
    hosts: dict[str, LocalHost] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store_text = self.store_text or str(self.folder / "store")
        self.store = open_store(self.store_text)
        self.deployments = Deployments(self.client)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def environ(self) -> dict[str, str]:
        """What workers and commands see."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOWLINE_", "TEMPORAL_"))}
        return kept | {
            "PYTHONPATH": str(PROJECT),
            "TOWLINE_DATA_DIR": str(self.folder / "data"),
            "TOWLINE_STORE": self.store_text,
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_NAMESPACE": self.client.namespace,
        }

    def launch(self, **environ: str) -> WorkerProcess:
        """Starts a worker without waiting for it."""
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "towline", "worker"],
                cwd=self.folder,
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self.workers.append(WorkerProcess(process, log))
        return self.workers[-1]

    async def worker(self) -> WorkerProcess:
        """A worker that is at work."""
        worker = self.launch()
        await eventually(lambda: worker.is_at_work or worker.has_ended)
        assert not worker.has_ended, worker.log.read_text()
        return worker

    async def run(self, *words: str) -> tuple[int, str]:
        """Runs `towline WORDS` to its end; its exit status and what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "towline", *words,
            cwd=self.folder, env=self.environ, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    # ── what exists ──────────────────────────────────────────────────────────────────────────────────────────────

    async def declare(
        self,
        group: str = "web",
        *,
        hosts: int = 2,
        config: str = "OneAtATime",
        rollback: bool = False,
        at: tuple[LocalHost, ...] = (),
        **keys: str,
    ) -> list[LocalHost]:
        """A deployment group of new instances `GROUP-1`, …, or of other names for the places of those `at`."""
        places = [host.root for host in at] or [self.folder / "hosts" / f"{group}-{n + 1}" for n in range(hosts)]
        made = [LocalHost(f"{group}-{n}", root) for n, root in enumerate(places, 1)]
        value: dict[str, Any] = {
            "applicationName": "shop",
            "deploymentGroupName": group,
            "deploymentConfigName": f"CodeDeployDefault.{config}",
            "onPremisesInstanceTagFilters": [{"Key": "group", "Value": group, "Type": "KEY_AND_VALUE"}],
            "autoRollbackConfiguration": {"enabled": rollback, "events": ["DEPLOYMENT_FAILURE"] if rollback else []},
            **keys,
        }
        changes = [Change(key=f"group/shop/{group}", value=value)]
        if not self.changes:
            changes.append(Change(key="application/shop", value={"applicationName": "shop"}))
        for host in made:
            host.path("/srv").mkdir(parents=True, exist_ok=True)
            local = {"root": str(host.root), "host": socket.gethostname()}
            record = {"instanceName": host.name, "tags": {"group": group}, "local": local}
            changes.append(Change(key=f"instance/{host.name}", value=record))
            self.hosts[host.name] = host
        self.changes += [change.key for change in changes]
        await Catalogue(self.client).write(changes)
        return made

    def write_bundle(self, folder: Path, version: str) -> None:
        """Writes a revision's files: one page, and one hook for each event."""
        (folder / "scripts").mkdir(parents=True)
        (folder / "index.html").write_text(f"{version}\n")
        (folder / "scripts/version").write_text(version)
        (folder / "scripts/hook.sh").write_text(HOOK)
        (folder / "scripts/hook.sh").chmod(0o755)
        hooks = "".join(f"  {event}:\n    - location: scripts/hook.sh\n" for event in EVENTS)
        files = "files:\n  - {source: index.html, destination: /srv/shop}\n"
        (folder / "appspec.yml").write_text(f"version: 0.0\nos: linux\n{files}hooks:\n{hooks}")

    def bundle(self, version: str) -> RevisionLocation:
        """Puts a revision into the store, as `towline deploy PATH` does."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / version
            self.write_bundle(folder, version)
            archive = as_archive(folder, Path(name))
            key = revision_key(archive.sha256, archive.bundle_type)
            if not self.store.exists(key):
                self.store.put_file(key, archive.path)
            return location_of(archive, version)

    # ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, deployment_id: str, group: str = "web", version: str = "v1", **words: Any) -> Started:
        """Starts a deployment, as `towline deploy --id` does."""
        revision = words.pop("revision", None) or self.bundle(version)
        request = DeployRequest(application_name="shop", deployment_group_name=group, revision=revision, **words)
        return await self.deployments.start(request, deployment_id)

    async def ended(self, deployment_id: str, seconds: float = 90) -> DeploymentView:
        """The view with which a deployment ends, good or bad."""
        async with asyncio.timeout(seconds):
            return await self.deployments.wait(deployment_id)

    async def deploy(self, deployment_id: str, group: str = "web", version: str = "v1", **words: Any) -> DeploymentView:
        await self.start(deployment_id, group, version, **words)
        return await self.ended(deployment_id)

    async def begun(self, host: LocalHost, deployment_id: str, event: str = "AfterInstall") -> Run:
        """Waits until a hook has begun."""
        run: Run = await eventually(lambda: host.run_of(deployment_id, event))
        return run

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────

    def check_counts(self, deployment_id: str, hosts: list[LocalHost], events: tuple[str, ...] = EVENTS[1:]) -> None:
        """Each hook of a deployment ran exactly once on each of these hosts, by their own word."""
        for host in hosts:
            counted = collections.Counter(run.event for run in host.runs if run.deployment == deployment_id)
            assert counted == dict.fromkeys(events, 1), f"{host.name}: {host.runs}"

    def close(self) -> None:
        """Ends every process that is left, hooks and runners included."""
        for worker in self.workers:
            if not worker.has_ended:
                worker.kill()
        for host in self.hosts.values():
            for hold in host.path("/srv").glob("hold-*"):
                hold.unlink()
            for pid in {run.pid for run in host.runs} | set(runners_of(host)):
                with contextlib.suppress(ProcessLookupError):
                    if str(host.root) in environment_of(pid) or pid in runners_of(host):
                        os.kill(pid, signal.SIGKILL)


def runners_of(host: LocalHost) -> Iterator[int]:
    """The detached runners of a local instance that are still there."""
    for file in host.path("/var/lib/towline/journals").glob("*.jsonl"):
        records = [json.loads(line) for line in file.read_text().splitlines()]
        started = next((record for record in records if record["kind"] == "started"), None)
        if started and records[-1]["kind"] != "finished" and is_alive(started["pid"]):
            yield int(started["pid"])


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def environment_of(pid: int) -> str:
    """A process's environment; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
