"""What is known of a deployment: from Temporal while it is open or remembered, else from the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING

from temporalio.client import Client

from towline import errors
from towline.catalogue.repository import Catalogue
from towline.deployments import watch
from towline.deployments.handle import DeploymentHandle
from towline.deployments.instance_status import Live, LiveFleet
from towline.deployments.store_access import StoreAccess
from towline.deployments.watch import Snapshot
from towline.model import names
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import TargetStatus
from towline.model.messages.view import DeploymentView

if TYPE_CHECKING:
    from towline.deployments.group_updates import GroupUpdates
    from towline.deployments.info import DeploymentInfos
    from towline.deployments.listing import DeploymentLists
    from towline.deployments.names_now import NamesNow
    from towline.model.deployment.report import DeploymentReport


class DeploymentReader:
    """Reads deployments. `store` empty: the store is the one whose address workers wrote into the catalogue.

    Every method that awaits raises `TemporalUnavailable` where Temporal, or a worker that must answer, does not.
    """

    def __init__(self, client: Client, *, store: str = "", task_queue: str = names.TASK_QUEUE) -> None:
        self.temporal = client
        self.task_queue = task_queue
        self.catalogue = Catalogue(client, task_queue=task_queue)
        self.storage = StoreAccess(self.catalogue, store)

    @cached_property
    def names_now(self) -> NamesNow:
        """What applications and groups are called."""
        from towline.deployments.names_now import NamesNow

        return NamesNow(self.catalogue)

    @cached_property
    def lists(self) -> DeploymentLists:
        """Lists of deployments."""
        from towline.deployments.listing import DeploymentLists

        return DeploymentLists(self.temporal, self.storage, self.names_now)

    @cached_property
    def infos(self) -> DeploymentInfos:
        """CodeDeploy's DeploymentInfo for many callers."""
        from towline.deployments.info import DeploymentInfos

        return DeploymentInfos(self.temporal, self.view_if_any, self.names_now)

    @cached_property
    def groups(self) -> GroupUpdates:
        """What deployments and callers ask of groups' queues."""
        from towline.deployments.group_updates import GroupUpdates

        return GroupUpdates(self.temporal, task_queue=self.task_queue)

    def handle(self, deployment_id: str) -> DeploymentHandle:
        """Return the deployment's workflow, which may not exist."""
        return DeploymentHandle(self.temporal, deployment_id)

    async def exists(self, deployment_id: str) -> bool:
        """Return whether Temporal knows a workflow of this id."""
        return await self.handle(deployment_id).exists()

    async def is_open(self, deployment_id: str) -> bool:
        """Return whether its workflow runs: a failed deployment stays open while its rollback runs."""
        return await self.handle(deployment_id).is_open()

    async def view(self, deployment_id: str) -> DeploymentView:
        """Return the view, from Temporal or else the report. Raises `NotFound`."""
        view = await self.view_if_any(deployment_id)
        if view is None:
            raise errors.NotFound(f"there is no deployment {deployment_id!r}.", "See: towline list")
        return view

    async def view_if_any(self, deployment_id: str) -> DeploymentView | None:
        """Return the view, or None where there is no such deployment."""
        view = await self.handle(deployment_id).view()
        if view is None and (report := await self.report(deployment_id)):
            return report.view
        return view

    async def info(self, deployment_id: str) -> DeploymentInfo | None:
        """Return CodeDeploy's DeploymentInfo, at most a second old, or None where there is no such deployment."""
        return await self.infos.get(deployment_id)

    async def wait(self, deployment_id: str) -> DeploymentView:
        """Wait for the end, and return the final view. Raises `NotFound`."""
        return await self.handle(deployment_id).result()

    def watch(
        self,
        deployment_id: str,
        patience: float = watch.PATIENCE_SECONDS,
        pace: float = watch.LOOK_SECONDS,
        *,
        is_new: bool = False,
    ) -> AsyncIterator[Snapshot]:
        """Yield the deployment's state until it has ended; see `towline.deployments.watch`."""
        return watch.watch(self.handle(deployment_id), patience, pace, is_new=is_new)

    async def run_id(self, deployment_id: str) -> str:
        """Return the first execution run id of a deployment, by which hosts know it. Raises `NotFound`."""
        known = await self.handle(deployment_id).run_id()
        if not known and (report := await self.report(deployment_id)):
            known = report.run_id
        if not known:
            raise errors.NotFound(f"the run of {deployment_id} is no longer known.", "See: towline list")
        return known

    async def report(self, deployment_id: str) -> DeploymentReport | None:
        """Return a deployment's report; None where none was written, or the store is out of reach."""
        records = await self.storage.records_if_any()
        return await asyncio.to_thread(records.report, deployment_id) if records else None

    # ── instances ────────────────────────────────────────────────────────────────────────────────────────────────

    def fleet(self, deployment_id: str) -> LiveFleet:
        """Return what reads the instances of a deployment again and again."""
        return LiveFleet(self.temporal, deployment_id)

    async def live(self, deployment_id: str, view: DeploymentView, fleet: LiveFleet) -> dict[str, Live]:
        """Return the instances by name as Temporal has them, whether the deployment is open or has ended."""
        if fleet.frozen is None and view.progress.total:
            records = await self.storage.records_if_any()
            fleet.frozen = tuple(await asyncio.to_thread(records.targets, deployment_id)) if records else ()
        if view.progress.shards:
            return await fleet.read(view.progress)
        others = TargetStatus.PENDING if view.progress.phase.is_before_the_end else TargetStatus.SKIPPED
        return await fleet.read_all_ended(others)

    async def live_or_recorded(self, deployment_id: str, view: DeploymentView) -> dict[str, Live]:
        """As `live`; once it has ended from the report, which has times, and which Temporal does not forget."""
        if not await self.is_open(deployment_id) and (report := await self.report(deployment_id)):
            from towline.deployments.documents import live_of_report

            return live_of_report(report)
        return await self.live(deployment_id, view, self.fleet(deployment_id))

    async def full_report(self, deployment_id: str, view: DeploymentView | None = None) -> DeploymentReport:
        """Return what `--json` prints: the view and each instance, from where it is known best. Raises `NotFound`."""
        from towline.deployments.documents import report_of_live
        from towline.model.deployment.report import DeploymentReport

        view = view or await self.view(deployment_id)
        report = await self.report(deployment_id)
        if report is not None and view.info.status is report.view.info.status:
            return DeploymentReport(view, report.targets, report.details)
        live = await self.live(deployment_id, view, self.fleet(deployment_id))
        return await report_of_live(await self.storage.records_if_any(), view, live)
