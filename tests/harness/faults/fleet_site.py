"""A site whose instances are hosts of the fleet in a box, reached over real SSH by real workers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.harness.faults.instances import BoxHost
from tests.harness.faults.site import FaultSite
from tests.harness.fleet.box import Fleet
from towline.model.deployment.store_keys import instance_key
from towline.model.messages.instance import InstanceReport

KEEPALIVE_SECONDS = 1
WORKER = f"""
import sys
import towline.transports.ssh_hops as ssh
from towline.cli.main import main
ssh.KEEPALIVE_SECONDS = {KEEPALIVE_SECONDS}
sys.argv[1:] = ["worker"]
main()
"""
"""`towline worker`, which notices a line that is silent within four seconds instead of twenty."""


@dataclass
class FleetSite(FaultSite):
    """One namespace of a Temporal server, real workers, and a group whose instances are a fleet's hosts."""

    WORKER: ClassVar[tuple[str, ...]] = ("-c", WORKER)

    payload_bytes: int = 0
    """Every revision carries so much that does not compress."""

    def write_bundle(self, folder: Path, version: str) -> None:
        """See Site."""
        super().write_bundle(folder, version)
        if self.payload_bytes:
            (folder / "payload").write_bytes(os.urandom(self.payload_bytes))

    async def declare_fleet(
        self,
        fleet: Fleet,
        *,
        config: str = "AllAtOnce",
        rollback: bool = False,
        every: dict[str, Any] | None = None,
        ssh: dict[str, dict[str, Any]] | None = None,
    ) -> dict[str, BoxHost]:
        """The fleet's hosts as the group `web`. `every`: SSH settings of each host, `ssh`: further ones by host."""
        made = {
            host.name: BoxHost(fleet, host, **{**(every or {}), **(ssh or {}).get(host.name, {})}) for host in fleet
        }
        await self.declare_group(list(made.values()), config=config, rollback=rollback)
        return made

    def record(self, deployment_id: str, instance: str) -> InstanceReport:
        """What the store says of an instance."""
        return InstanceReport.model_validate_json(self.store.get(instance_key(deployment_id, instance)))
