"""A site to break: workers as processes of their own, a Temporal server, and instances (`instances.py`)."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from temporalio.client import Client

from tests.harness import ROOT
from tests.harness.faults.instances import EVENTS, HOOK, Instance, LocalHost, Run, is_alive
from tests.harness.temporal import eventually
from towline.bundles.local import as_archive, location_of, revision_key
from towline.catalogue.client import Catalogue
from towline.deployments.service import DeploymentService
from towline.deployments.start import StartedDeployment
from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.records import Change
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.view import DeploymentView
from towline.store import open_store

__all__ = ["EVENTS", "LocalHost", "Run", "Site", "WorkerProcess", "is_alive"]


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

    def freeze(self) -> None:
        """SIGSTOP: as a machine that is paused, or a laptop that sleeps."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def is_at_work(self) -> bool:
        return not self.has_ended and "at work on" in self.log.read_text()

    def memory(self, line: str = "VmRSS") -> float:
        """MiB that it uses; by `VmHWM` the most that it ever did. 0: it has ended."""
        try:
            told = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(one.split()[1]) / 1024 for one in told if one.startswith(f"{line}:")), 0.0)


@dataclass
class Site:
    """One namespace of a Temporal server, and all that belongs to it."""

    WORKER: ClassVar[tuple[str, ...]] = ("-m", "towline", "worker")
    """Python's arguments for a worker."""

    folder: Path
    address: str
    client: Client
    store_text: str = ""
    workers: list[WorkerProcess] = field(default_factory=list)
    hosts: dict[str, Instance] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)  # further environment of workers and commands

    def __post_init__(self) -> None:
        self.store_text = self.store_text or str(self.folder / "store")
        self.store = open_store(self.store_text)
        self.deployments = DeploymentService(self.client, store=self.store_text)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def environ(self) -> dict[str, str]:
        """What workers and commands see."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOWLINE_", "TEMPORAL_"))}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "TOWLINE_DATA_DIR": str(self.folder / "data"),
            "TOWLINE_STORE": self.store_text,
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_NAMESPACE": self.client.namespace,
            **self.more,
        }

    def launch(self, **environ: str) -> WorkerProcess:
        """Starts a worker without waiting for it."""
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *self.WORKER],
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
        await self.declare_group(made, group, config=config, rollback=rollback, **keys)
        return made

    async def declare_group(
        self, made: Sequence[Instance], group: str = "web", *, config: str, rollback: bool = False, **keys: str
    ) -> None:
        """A deployment group of these instances."""
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
            record = {"instanceName": host.name, "tags": {"group": group}, **host.record}
            changes.append(Change(key=f"instance/{host.name}", value=record))
            self.hosts[host.name] = host
        self.changes += [change.key for change in changes]
        await Catalogue(self.client).write(changes)

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

    async def start(
        self, deployment_id: str, group: str = "web", version: str = "v1", **words: Any
    ) -> StartedDeployment:
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

    async def begun(self, host: Instance, deployment_id: str, event: str = "AfterInstall") -> Run:
        """Waits until a hook has begun."""
        run: Run = await eventually(lambda: host.run_of(deployment_id, event))
        return run

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────

    def check_counts(self, deployment_id: str, hosts: Sequence[Instance], events: tuple[str, ...] = EVENTS[1:]) -> None:
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
            if isinstance(host, LocalHost):
                host.end_all()
