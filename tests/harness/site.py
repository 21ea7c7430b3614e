"""A site for end-to-end tests: a namespace of the session's Temporal, one worker process, what is declared there.

Commands run as their users run them, as processes: `towline …` and Temporal's own `temporal …`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client

from tests.harness import ROOT
from tests.harness.temporal import TemporalServer, temporal_binary
from towline.bundles.local import as_archive, location_of, revision_key
from towline.catalogue.client import Catalogue
from towline.model.catalogue.records import Change
from towline.store import open_store

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


@dataclass
class Site:
    """Where commands run: `folder` for files, `environ` for every process, `client` of the namespace."""

    folder: Path
    environ: dict[str, str]
    client: Client
    worker: subprocess.Popen[bytes]
    worker_log: Path

    async def towline(self, *words: str) -> Done:
        """Runs `towline WORDS` to its end."""
        return await self.run(sys.executable, "-m", "towline", *words)

    async def temporal(self, *words: str) -> Done:
        """Runs `temporal WORDS` to its end."""
        return await self.run(temporal_binary(), *words, "--color", "never")

    async def declare(self, app: str, group: str, *, count: int = 2, rollback: bool = False, **more: Any) -> None:
        """Declares a group and its instances `GROUP-1…`: local ones, or by `fake={…}` played ones.

        `more` are further fields of the group.
        """
        fake = more.pop("fake", None)
        value = {
            "applicationName": app,
            "deploymentGroupName": group,
            "deploymentConfigName": "CodeDeployDefault.AllAtOnce",
            "onPremisesInstanceTagFilters": [{"Key": "group", "Value": f"{app}/{group}", "Type": "KEY_AND_VALUE"}],
            "autoRollbackConfiguration": {"enabled": rollback, "events": ["DEPLOYMENT_FAILURE"] if rollback else []},
            **more,
        }
        catalogue = Catalogue(self.client)
        changes = [Change(key=f"group/{app}/{group}", value=value)]
        if not await catalogue.read([f"application/{app}"]):
            changes.append(Change(key=f"application/{app}", value={"applicationName": app}))
        for n in range(1, count + 1):
            name = f"{group}-{n}"
            local = {"local": {"root": str(self.root(name)), "host": socket.gethostname()}}
            record = {"instanceName": name, "tags": {"group": f"{app}/{group}"}, **({"fake": fake} if fake else local)}
            changes.append(Change(key=f"instance/{name}", value=record))
        await catalogue.write(changes)

    def root(self, instance: str) -> Path:
        """The root prefix of a local instance."""
        return self.folder / "hosts" / instance

    def bundle(self, name: str, script: str = "", *, files: Mapping[str, str] | None = None) -> Path:
        """A revision on disk: a page for `/srv/shop`, and one script, `scripts/after.sh`, in AfterInstall."""
        folder = self.folder / f"bundle-{name}"
        (folder / "scripts").mkdir(parents=True)
        for path, text in {"index.html": f"{name}\n", **(files or {})}.items():
            (folder / path).write_text(text)
        (folder / "appspec.yml").write_text(
            "version: 0.0\nos: linux\nfiles:\n  - {source: index.html, destination: /srv/shop}\n"
            "hooks:\n  AfterInstall:\n    - location: scripts/after.sh\n"
        )
        after = folder / "scripts/after.sh"
        after.write_text(f"#!/bin/sh\necho hello from {name}\n{script}\n")
        after.chmod(0o755)
        return folder

    def stored(self, bundle: Path) -> dict[str, Any]:
        """Puts a bundle into the store and returns its location in CodeDeploy's shape."""
        archive = as_archive(bundle, self.folder)
        open_store(self.environ["TOWLINE_STORE"]).put_file(
            revision_key(archive.sha256, archive.bundle_type), archive.path
        )
        return location_of(archive, bundle.name).model_dump(mode="json", by_alias=True, exclude_none=True)

    async def history(self, workflow_id: str) -> str:
        """All that Temporal keeps of a workflow, as JSON with payloads readable."""
        done = await self.temporal("workflow", "show", "-w", workflow_id, "-o", "json")
        assert done.status == 0, done.err
        return done.out

    async def run(self, *command: str) -> Done:
        """Runs a program to its end."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


@contextlib.asynccontextmanager
async def running_site(temporal: TemporalServer, folder: Path, **environ: str) -> AsyncIterator[Site]:
    """A site for the block; `environ` is for all its processes (`TOWLINE_STORE` is a directory unless given)."""
    client = await temporal.new_namespace()
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("TOWLINE_", "TEMPORAL_"))}
    ours |= {
        "PYTHONPATH": str(ROOT),
        "TEMPORAL_ADDRESS": temporal.address,
        "TEMPORAL_NAMESPACE": client.namespace,
        "TEMPORAL_CONFIG_FILE": str(folder / "no-profile.toml"),
        "TOWLINE_DATA_DIR": str(folder / "data"),
        "TOWLINE_STORE": str(folder / "store"),
    }
    (folder / "no-profile.toml").touch()
    ours |= environ
    log = folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "towline", "worker"], cwd=folder, env=ours, stdout=output, stderr=output
        )
    try:
        await _until_at_work(client, worker, log)
        yield Site(folder, ours, client, worker, log)
    finally:
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait, 60)


async def _until_at_work(client: Client, worker: subprocess.Popen[bytes], log: Path) -> None:
    while b"at work on" not in log.read_bytes():
        assert worker.poll() is None, log.read_text()
        await asyncio.sleep(0.1)
