"""A site whose instances are hosts of the fleet in a box, reached over real SSH by real workers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.site import LocalHost, Site, WorkerProcess
from tests.fleet.box import Fleet, Host
from towline.catalogue import Catalogue
from towline.model.catalogue import Change
from towline.model.messages import InstanceReport, instance_key

KEEPALIVE_SECONDS = 1
WORKER = f"""
import sys
import towline.transports.ssh as ssh
from towline.cli.main import main
ssh.KEEPALIVE_SECONDS = {KEEPALIVE_SECONDS}
sys.argv[1:] = ["worker"]
main()
"""
"""`towline worker`, which notices a line that is silent within four seconds instead of twenty."""


@dataclass
class FleetHost(LocalHost):
    """A host of the fleet with what the test bundle's hooks keep there. Its process numbers are its own."""

    host: Host

    def path(self, path: str) -> Path:
        return self.host.path(path)

    def started(self, deployment: str, event: str) -> bool:
        """Whether a hook has begun; False while the host is off."""
        return bool(self.host.pid) and self.run_of(deployment, event) is not None


@dataclass
class FleetSite(Site):
    """One namespace of a Temporal server, real workers, and a group whose instances are a fleet's hosts."""

    payload_bytes: int = 0
    """Every revision carries so much that does not compress."""

    def launch(self, **environ: str) -> WorkerProcess:
        """See Site."""
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER],
                cwd=self.folder,
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self.workers.append(WorkerProcess(process, log))
        return self.workers[-1]

    def write_bundle(self, folder: Path, version: str) -> None:
        """See Site."""
        super().write_bundle(folder, version)
        if self.payload_bytes:
            (folder / "payload").write_bytes(os.urandom(self.payload_bytes))

    async def declare_fleet(
        self,
        fleet: Fleet,
        *,
        config: str = "CodeDeployDefault.AllAtOnce",
        rollback: bool = False,
        ssh: dict[str, dict[str, Any]] | None = None,
        every: dict[str, Any] | None = None,
        group: str = "web",
    ) -> dict[str, FleetHost]:
        """The fleet's hosts as the group `web`. `ssh`: further settings by host, `every`: of each host."""
        value: dict[str, Any] = {
            "applicationName": "shop",
            "deploymentGroupName": group,
            "deploymentConfigName": config,
            "onPremisesInstanceTagFilters": [{"Key": "group", "Value": group, "Type": "KEY_AND_VALUE"}],
            "autoRollbackConfiguration": {"enabled": rollback, "events": ["DEPLOYMENT_FAILURE"] if rollback else []},
        }
        changes = [
            Change(key="application/shop", value={"applicationName": "shop"}),
            Change(key=f"group/shop/{group}", value=value),
        ]
        made = {}
        for host in fleet:
            settings = fleet.settings(host.name).model_dump(mode="json", by_alias=True, exclude_none=True)
            settings |= {**(every or {}), **(ssh or {}).get(host.name, {})}
            record = {"instanceName": host.name, "tags": {"group": group}, "ssh": settings}
            changes.append(Change(key=f"instance/{host.name}", value=record))
            made[host.name] = FleetHost(host.name, Path("/"), host)
            made[host.name].path("/srv").mkdir(parents=True, exist_ok=True)
        await Catalogue(self.client).write(changes)
        return made

    def record(self, deployment_id: str, instance: str) -> InstanceReport:
        """What the store says of an instance."""
        return InstanceReport.model_validate_json(self.store.get(instance_key(deployment_id, instance)))

    def close(self) -> None:
        """Ends the workers; what runs on the hosts ends with their fleet, in namespaces of its own."""
        for worker in self.workers:
            if not worker.has_ended:
                worker.kill()
