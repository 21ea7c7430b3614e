"""What tests declare: deployment groups and their instances, as records of the catalogue."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temporalio.client import Client

from towline.catalogue.repository import Catalogue
from towline.model.catalogue.records import Change


def local_instance(root: Path) -> dict[str, Any]:
    """An instance below a folder of this machine."""
    return {"local": {"root": str(root), "host": socket.gethostname()}}


async def declare_group(
    client: Client,
    application: str,
    group: str,
    instances: Mapping[str, Mapping[str, Any]],
    *,
    config: str = "AllAtOnce",
    rollback: bool = False,
    **fields: Any,
) -> list[str]:
    """Writes a group, its instances (name → how it is reached) and, where it is new, their application.

    `fields` are further ones of the group. Returns the keys that were written.
    """
    tag = f"{application}/{group}"
    record = {
        "applicationName": application,
        "deploymentGroupName": group,
        "deploymentConfigName": f"CodeDeployDefault.{config}",
        "onPremisesInstanceTagFilters": [{"Key": "group", "Value": tag, "Type": "KEY_AND_VALUE"}],
        "autoRollbackConfiguration": {"enabled": rollback, "events": ["DEPLOYMENT_FAILURE"] if rollback else []},
        **fields,
    }
    changes = [Change(key=f"group/{application}/{group}", value=record)]
    for name, place in instances.items():
        value = {"instanceName": name, "tags": {"group": tag}, **place}
        changes.append(Change(key=f"instance/{name}", value=value))
    catalogue = Catalogue(client)
    if not await catalogue.read([f"application/{application}"]):
        changes.append(Change(key=f"application/{application}", value={"applicationName": application}))
    await catalogue.write(changes)
    return [change.key for change in changes]
