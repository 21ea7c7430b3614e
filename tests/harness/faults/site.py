"""A site to break: workers that are killed, a server that dies, and instances that count (`instances.py`)."""

from __future__ import annotations

import asyncio
import collections
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from temporalio.client import Client

from tests.harness.bundles import put_bundle, write_bundle
from tests.harness.declared import declare_group
from tests.harness.faults.instances import EVENTS, HOOK, Instance, LocalHost, Run, is_alive
from tests.harness.processes import WorkerProcess, environment
from tests.harness.site import Site
from tests.harness.temporal import eventually
from towline.deployments.service import DeploymentService
from towline.deployments.start import StartedDeployment
from towline.model.bundle.revision import RevisionLocation
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.view import DeploymentView
from towline.store import open_store

__all__ = ["EVENTS", "FaultSite", "LocalHost", "Run", "WorkerProcess", "is_alive"]


@dataclass
class FaultSite(Site):
    """A site whose groups are the application `shop`'s, and whose instances count what was done to them."""

    hosts: dict[str, Instance] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)  # keys of what was declared

    @classmethod
    def at(cls, folder: Path, address: str, client: Client, **environ: str) -> Self:
        """A site in `folder` with the server at `address` (host:port); `environ` is for its processes."""
        return cls(folder, environment(folder, address, client.namespace, **environ), client)

    def __post_init__(self) -> None:
        self.store = open_store(self.environ["TOWLINE_STORE"])
        self.deployments = DeploymentService(self.client, store=self.environ["TOWLINE_STORE"])

    # ── what exists ──────────────────────────────────────────────────────────────────────────────────────────────

    async def declare_hosts(
        self, group: str = "web", *, hosts: int = 2, at: tuple[LocalHost, ...] = (), **how: Any
    ) -> list[LocalHost]:
        """A group of new local instances `GROUP-1`, …, or of other names for the places of those `at`."""
        places = [host.root for host in at] or [self.root(f"{group}-{n + 1}") for n in range(hosts)]
        made = [LocalHost(f"{group}-{n}", root) for n, root in enumerate(places, 1)]
        await self.declare_group(made, group, **how)
        return made

    async def declare_group(
        self, made: Sequence[Instance], group: str = "web", *, config: str = "OneAtATime", **how: Any
    ) -> None:
        """A deployment group of these instances."""
        for host in made:
            host.path("/srv").mkdir(parents=True, exist_ok=True)
            self.hosts[host.name] = host
        records = {host.name: host.record for host in made}
        self.changes += await declare_group(self.client, "shop", group, records, config=config, **how)

    def write_bundle(self, folder: Path, version: str) -> None:
        """Writes a revision's files: one page, and one hook for each event."""
        location = "scripts/hook.sh"
        write_bundle(folder, version, EVENTS, script=HOOK, location=location, files={"scripts/version": version})

    def revision(self, version: str) -> RevisionLocation:
        """Puts a revision into the store, as `towline deploy PATH` does."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / version
            self.write_bundle(folder, version)
            return put_bundle(self.environ["TOWLINE_STORE"], folder)

    # ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────

    async def start(
        self, deployment_id: str, group: str = "web", version: str = "v1", **words: Any
    ) -> StartedDeployment:
        """Starts a deployment, as `towline deploy --id` does."""
        revision = words.pop("revision", None) or self.revision(version)
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
        super().close()
        for host in self.hosts.values():
            if isinstance(host, LocalHost):
                host.end_all()
