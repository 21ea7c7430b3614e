"""What must be at work before instances that poll can be deployed to: checked before anything is touched."""

from __future__ import annotations

from collections.abc import Collection

from temporalio.client import Client

from towline.agents.peers import api_servers
from towline.errors import OurFault
from towline.model.deployment.describe import names
from towline.model.fleet.instance import Target


async def check_polled(client: Client, targets: Collection[Target]) -> None:
    """Raises OurFault where there are hosts that poll and no API server is at work."""
    polled = [target for target in targets if target.polls]
    if polled and not await api_servers(client):
        raise OurFault(
            f"no API server is at work, and {names([target.name for target in polled])} can only be reached by one.",
            "Start one: towline api",
        )
