"""What a deployment froze, as activities read it: the order, the pages of its fleet, the compiled plan.

Read once per worker and run: the instances of a deployment share them. `ArchiveSource` is how revisions are reached.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from towline.aside import aside
from towline.errors import NotFound, OurFault
from towline.model.appspec.plan import CompiledPlan
from towline.model.bundle.revision import ResolvedRevision
from towline.model.fleet.instance import Target
from towline.model.host.order import PlanPart, plan_part
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.instance import InstanceOrder
from towline.singleflight import KeptReads
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords

CACHED = 64
_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ArchiveSource(Protocol):
    """Where hosts get a revision's archive from (activities/revisions.py)."""

    async def url(self, revision: ResolvedRevision, /, *, anew: bool = False) -> str | None:
        """A presigned URL, a secret, just signed if `anew`; None where hosts cannot fetch by themselves."""

    async def file(self, revision: ResolvedRevision, /) -> Path:
        """The archive on the worker's disk, its SHA-256 checked; raises OurFault, NotFound or InvalidBundle."""


class Frozen:
    """Reads frozen documents from the store, each once (the last 64 are kept)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = DeploymentRecords(store)
        self._kept: KeptReads[Any] = KeptReads(CACHED)  # by key and run, since a deployment id may be used again later

    async def of_instance(self, order: InstanceOrder) -> tuple[DeploymentOrder, Target]:
        """The deployment's order and the instance's target; raises NotFound or OurFault."""
        frozen = await self._order(order.deployment_id, order.run_id)
        return frozen, await self._target(order)

    async def plan(self, order: DeploymentOrder) -> PlanPart:
        """The compiled AppSpec of the order's revision, as hosts get it; raises NotFound or OurFault."""
        assert order.revision, "an undo has no plan: the host has kept it"
        key = order.revision.plan_key
        plan: PlanPart = await self._kept.read((key, order.run_id), partial(self._plan, key))
        return plan

    async def earlier(self, order: DeploymentOrder, deployment_id: str) -> tuple[DeploymentOrder, PlanPart]:
        """Another deployment of the order's group, with its plan: for a host that has lost what it is to go back to.

        The id comes from a host. Raises NotFound or OurFault.
        """
        unknown = NotFound(f"no revision is on record as {deployment_id[:64]} of {order.application}/{order.group}")
        if not _ID.fullmatch(deployment_id):
            raise unknown
        found = await self._order(deployment_id, order.run_id)
        if found.group_id != order.group_id or not found.revision:
            raise unknown
        return found, await self.plan(found)

    async def page(self, key: str, run_id: str) -> dict[str, Target]:
        """The targets of a page of the fleet, by name."""
        read = partial(asyncio.to_thread, self._records.page, key)
        page: dict[str, Target] = await self._kept.read((key, run_id), read)
        return page

    async def _order(self, deployment_id: str, run_id: str) -> DeploymentOrder:
        read = partial(asyncio.to_thread, self._records.frozen_order, deployment_id)
        order: DeploymentOrder = await self._kept.read((deployment_id, run_id), read)
        return order

    async def _target(self, order: InstanceOrder) -> Target:
        targets = await self.page(order.page, order.run_id)
        if order.instance not in targets:
            raise NotFound(f"{order.instance} is not in {order.page}, where its deployment has put it")
        return targets[order.instance]

    async def _plan(self, key: str) -> PlanPart:
        data = await asyncio.to_thread(self._store.get, key)
        try:
            return await aside(_plan_part, data)
        except ValueError as error:
            raise OurFault(f"{key} in the store cannot be read: {error}", code="StoreDamaged") from error


def _plan_part(data: bytes) -> PlanPart:
    return plan_part(CompiledPlan.model_validate_json(data))
