"""Deployments as the command line, the API and programs use them: Temporal first, the store where it has forgotten.

What is decided, and how each part is done, is in the modules beside this one; here they meet one client.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from towline import errors
from towline.creator import Who
from towline.deployments import control
from towline.deployments import start as starting
from towline.deployments.reader import DeploymentReader
from towline.deployments.start import StartedDeployment
from towline.model import names
from towline.model.bundle.revision import BundleType, RevisionLocation
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeployRequest, PauseAnswer, StopAnswer, StopRequest
from towline.model.messages.view import DeploymentView
from towline.settings import Settings, read_settings
from towline.temporal import connect_temporal

# What only some commands need is imported where it is used: a command's start is mostly imports.
if TYPE_CHECKING:
    from towline.deployments.revisions import UploadedRevision
    from towline.model.catalogue.revisions import Uses
    from towline.model.deployment.listed import DeploymentFilter, ListedDeployment, Place
    from towline.model.deployment.preview import Preview
    from towline.model.messages.group import GroupView

AMBIGUOUS = 50
"""So many ids that begin with a text are looked at."""
NEWEST = 20
"""So many of a group's newest deployments are looked at for one that touched an instance."""
PREVIEW_SECONDS = 600.0


async def connect(settings: Settings | None = None) -> DeploymentService:
    """Connect to the Temporal and the store that the environment, or `settings`, names.

    Raises `TemporalUnavailable`, and `InvalidInput` for settings that cannot be used.
    """
    settings = settings or read_settings()
    return DeploymentService(await connect_temporal(settings), store=settings.store or "")


class DeploymentService(DeploymentReader):
    """Starts, finds, controls and reads deployments.

    Every method that awaits raises `TemporalUnavailable` where Temporal, or a worker that must answer, does not.
    """

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, request: DeployRequest, deployment_id: str) -> StartedDeployment:
        """Start a deployment, or attach to the one of this id that has the same parameters.

        Raises `Conflict` where the id is taken by a deployment with other parameters, or by another workflow.
        """
        return await starting.start(self.temporal, request, deployment_id, task_queue=self.task_queue)

    async def reserve(self, group: DeploymentGroup, deployment_id: str, by: str) -> None:
        """Make a deployment that is started within 30 seconds the group's active one, before it exists.

        Raises `Conflict`, with nothing left behind, where the group is busy.
        """
        await self.groups.reserve(group, deployment_id, by)

    async def recorded_result(self, request: DeployRequest, deployment_id: str) -> DeploymentView | None:
        """Return the final view of a deployment that only the store remembers; None where there is none.

        To be read before a start under an id that the caller chose and Temporal does not know: its deployment may
        have ended long ago. Raises `Conflict` where it had other parameters.
        """
        report = await self.report(deployment_id)
        if report is None:
            return None
        if not starting.is_same_request(report, request):
            raise starting.conflict(deployment_id, "report")
        return report.view

    async def upload_revision(self, path: Path, bundle_type: BundleType | None = None) -> UploadedRevision:
        """Pack a revision on this machine and send it to the store, unless it is there already.

        Raises `InvalidBundle`, `NotFound` where no store is known, `OurFault` where it cannot be written.
        """
        from towline.deployments.revisions import upload

        return await asyncio.to_thread(upload, await self.storage.store(), path, bundle_type)

    async def past_revision(self, group: str, text: str) -> RevisionLocation:
        """Return a revision that `APP/GROUP` has had before, by a deployment's id, a digest or a label.

        Raises `NotFound`, and `Conflict` where several are meant.
        """
        from towline.deployments.past_revisions import LOOKED_AT, past_revision

        newest = await self.list_deployments(_of_group(group), LOOKED_AT)
        return await past_revision(await self.storage.records(), [one.deployment_id for one in newest], group, text)

    async def preview(self, request: DeployRequest) -> Preview:
        """Return what a deployment would do, as a worker finds out; touches no instance. Raises `TowlineError`."""
        from towline.model.deployment.preview import AskPreview, Preview
        from towline.model.worker_call import WorkerCall
        from towline.worker_call import call_worker

        argument = AskPreview(request=request).model_dump(mode="json")
        call = WorkerCall(
            activity="preview", argument=argument, timeout_seconds=PREVIEW_SECONDS, summary="what would happen"
        )
        return await call_worker(self.temporal, call, Preview)

    async def rollback_request(self, deployment_id: str, by: Who) -> DeployRequest:
        """Return the request that rolls an ended deployment back, to be started as a deployment of its own.

        Raises `NotFound`; `Conflict` where it is open, touched nothing, or others have followed on every instance;
        `InvalidInput` where it is a rollback itself.
        """
        from towline.deployments import rollback

        view = await self.view(deployment_id)
        rollback.check_can_roll_back(view, is_open=await self.is_open(deployment_id))
        rollback.check_still_runs(view, await self._followers(view))
        return rollback.rollback_request(view, await self.run_id(deployment_id), by)

    async def _followers(self, view: DeploymentView) -> list[DeploymentView | None]:
        """The last deployments of the instances of a view's group; none where it is one of them."""
        from towline.deployments.group_history import read_memory

        info = view.info
        group = await self.catalogue.group(info.application_name, info.deployment_group_name)
        states = (await read_memory(self.temporal, group))[1] if group else {}
        last = {state.deployment_id for state in states.values()}
        if info.deployment_id in last:
            return []
        return [await self.view_if_any(one) for one in sorted(last)]

    # ── control ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def pause(self, deployment_id: str) -> PauseAnswer | None:
        """Start nothing new; what is in flight finishes. None: no worker answers, the next one will find it.

        Raises `NotFound` where it is not open, `Conflict` where it refuses.
        """
        return await control.pause(self.temporal, deployment_id)

    async def resume(self, deployment_id: str) -> PauseAnswer | None:
        """Go on after a pause; returns and raises as `pause`."""
        return await control.resume(self.temporal, deployment_id)

    async def stop(
        self, deployment_id: str, request: StopRequest, *, confirm_seconds: float = 0.0
    ) -> StopAnswer | None:
        """Stop a deployment; wait up to `confirm_seconds` for `Succeeded`: nothing more is started.

        Returns and raises as `pause`.
        """
        return await control.stop(self.temporal, deployment_id, request, confirm_seconds=confirm_seconds)

    async def queue(self, group: DeploymentGroup) -> GroupView | None:
        """Return a group's queue: who deploys, who waits, why it is held; None where nothing was deployed there."""
        from towline.deployments.group_history import read_queue

        return await read_queue(self.temporal, group)

    async def release(self, group: DeploymentGroup) -> tuple[str, GroupView | None]:
        """Let a held queue go on; return why it was held (empty: it was not), and the group's view afterwards."""
        from towline.deployments.group_history import release_queue

        return await release_queue(self.temporal, group)

    # ── find ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, text: str) -> str:
        """Return the id that a text names: an id, a unique beginning of one, or APP/GROUP.

        A group stands for its active deployment, else the newest that touched an instance, else the newest.
        Raises `NotFound`, and `Conflict` for a beginning that several have.
        """
        if "/" in text:
            return await self._find_of_group(text)
        if re.match(names.DEPLOYMENT_ID, text) and await self.handle(text).is_deployment():
            return text
        if not text:
            raise errors.NotFound("an empty text names no deployment.", "See: towline list")
        from towline.deployments.listing import only_id
        from towline.model.deployment.listed import DeploymentFilter

        found = await self.list_deployments(DeploymentFilter(prefix=text, with_refused=True), AMBIGUOUS)
        return only_id(text, [one.deployment_id for one in found])

    async def list_deployments(
        self, wanted: DeploymentFilter | None = None, limit: int | None = 50, *, before: Place | None = None
    ) -> list[ListedDeployment]:
        """Return the deployments that Temporal or the store knows, the newest first, at most `limit`; None: all.

        `before` is the place of the last one of the page before.
        """
        from towline.model.deployment.listed import DeploymentFilter

        return await self.lists.newest(wanted or DeploymentFilter(), limit, before)

    async def uses(self, application: str) -> Uses:
        """Return the uses of an application's revisions by its deployments, rollbacks aside."""
        return await self.lists.uses(application)

    async def group(self, text: str) -> DeploymentGroup:
        """Return the declared group that `APP/GROUP` names. Raises `NotFound`."""
        from towline.model.problem import did_you_mean

        groups = await self.catalogue.groups()
        if text not in groups:
            hint = did_you_mean(text, groups) or "See: towline instances"
            raise errors.NotFound(f"no deployment group {text}: it is written APP/GROUP.", hint)
        return groups[text]

    async def _find_of_group(self, text: str) -> str:
        from towline.deployments.listing import active_id

        found = await self.list_deployments(_of_group(text), NEWEST)
        if active := active_id(found):
            return active
        ids = [one.deployment_id for one in found]
        if not ids:
            raise errors.NotFound(f"nothing was deployed to {text} as far as is known.", "See: towline list")
        for deployment_id in ids:
            # A request that was refused or stopped in the queue must not stand before what runs.
            progress = (await self.view(deployment_id)).progress
            if progress.touched or not progress.is_whole:
                return deployment_id
        return ids[0]


def _of_group(text: str) -> DeploymentFilter:
    from towline.model.deployment.listed import DeploymentFilter

    application, _, group = text.partition("/")
    return DeploymentFilter(application, group)
