"""A site: a namespace of a real Temporal server, workers as processes of their own, and what is declared there.

Commands run as their users run them, as processes: `towline …` and Temporal's own `temporal …`. A site to break is
`tests.harness.faults.site.FaultSite`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from temporalio.client import Client

from tests.harness import processes
from tests.harness.bundles import put_bundle, write_bundle
from tests.harness.declared import declare_group, local_instance
from tests.harness.processes import TOWLINE, Done, WorkerProcess, environment
from tests.harness.temporal import TemporalServer, eventually, temporal_binary

__all__ = ["Done", "Site", "running_site"]


@dataclass
class Site:
    """Where commands run: `folder` for files, `environ` for every process, `client` of the namespace."""

    WORKER: ClassVar[tuple[str, ...]] = ("-m", "towline", "worker")
    """Python's arguments for a worker."""

    folder: Path
    environ: dict[str, str]
    client: Client
    workers: list[WorkerProcess] = field(default_factory=list)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────

    async def towline(self, *words: str) -> Done:
        """Runs `towline WORDS` to its end."""
        return await self.run(*TOWLINE, *words)

    async def temporal(self, *words: str) -> Done:
        """Runs `temporal WORDS` to its end."""
        return await self.run(temporal_binary(), *words, "--color", "never")

    async def run(self, *command: str, folder: Path | None = None, environ: Mapping[str, str] | None = None) -> Done:
        """Runs a program to its end, in the site's folder unless another is given."""
        return await processes.run(*command, folder=folder or self.folder, environ={**self.environ, **(environ or {})})

    def launch(self, **environ: str) -> WorkerProcess:
        """Starts a worker without waiting for it."""
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        self.workers.append(WorkerProcess.launch(log, self.environ | environ, self.WORKER))
        return self.workers[-1]

    async def start_worker(self) -> WorkerProcess:
        """A worker that is at work."""
        worker = self.launch()
        await eventually(lambda: worker.is_at_work or worker.has_ended)
        assert not worker.has_ended, worker.log.read_text()
        return worker

    def close(self) -> None:
        """Kills the workers that are left."""
        for worker in self.workers:
            if not worker.has_ended:
                worker.kill()

    # ── what exists ──────────────────────────────────────────────────────────────────────────────────────────────

    async def declare(self, app: str, group: str, *, count: int = 2, fake: Any = None, **how: Any) -> None:
        """Declares a group and its instances `GROUP-1…`: local ones, or by `fake={…}` played ones.

        `how` goes to `declare_group`: its config, whether it rolls back, further fields.
        """
        names = [f"{group}-{n}" for n in range(1, count + 1)]
        places = {name: {"fake": fake} if fake else local_instance(self.root(name)) for name in names}
        await declare_group(self.client, app, group, places, **how)

    def root(self, instance: str) -> Path:
        """The root prefix of a local instance."""
        return self.folder / "hosts" / instance

    def bundle(self, name: str, script: str = "", *, files: Mapping[str, str] | None = None) -> Path:
        """A revision on disk: a page for `/srv/shop`, and one script, `scripts/after.sh`, in AfterInstall."""
        text = f"#!/bin/sh\necho hello from {name}\n{script}\n"
        return write_bundle(self.folder / f"bundle-{name}", name, script=text, files=files)

    def stored(self, bundle: Path) -> dict[str, Any]:
        """Puts a bundle into the store and returns its location in CodeDeploy's shape."""
        location = put_bundle(self.environ["TOWLINE_STORE"], bundle)
        return location.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def history(self, workflow_id: str) -> str:
        """All that Temporal keeps of a workflow, as JSON with payloads readable."""
        done = await self.temporal("workflow", "show", "-w", workflow_id, "-o", "json")
        assert done.status == 0, done.err
        return done.out


@contextlib.asynccontextmanager
async def running_site(temporal: TemporalServer, folder: Path, **environ: str) -> AsyncIterator[Site]:
    """A site with one worker for the block; `environ` is for all its processes."""
    client = await temporal.new_namespace()
    site = Site(folder, environment(folder, temporal.address, client.namespace, **environ), client)
    try:
        await site.start_worker()
        yield site
    finally:
        for worker in site.workers:
            worker.terminate()
            await asyncio.to_thread(worker.process.wait, 60)
