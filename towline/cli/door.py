"""What commands share: reaching Temporal and the store, and finding the deployment that a person means."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from towline import errors
from towline.catalogue.client import Catalogue
from towline.deployments.client import Deployments, connect
from towline.deployments.instance_status import Live, LiveFleet, refined
from towline.deployments.listing import the_active, the_only_one
from towline.deployments.records import Records, open_for_client
from towline.model.deployment.report import view_of_report
from towline.model.deployment.status import Outcome, TargetStatus
from towline.model.deployment.view import document, ended_target, live_target, plain_target
from towline.model.group.group import DeploymentGroup
from towline.model.messages import DeploymentView
from towline.model.problem import did_you_mean
from towline.settings import Settings, read_settings
from towline.store import Store

T = TypeVar("T")

STORE_LOOKS = 6
LOOKED_AT = 20
"""So many of a group's newest deployments are looked at for one that touched an instance."""


def talk(story: Callable[[Door], Awaitable[T]]) -> T:
    """Connects, runs a command's story, and returns what it returns. Raises `Terminated` as `run_story`."""

    async def run() -> T:
        settings = read_settings()
        return await story(Door(await connect(settings), settings))

    return run_story(run)


def run_story(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs what a command does once everything is loaded. Raises `Terminated` where SIGTERM comes meanwhile."""
    gc.freeze()  # what is loaded stays; what comes may be much, and is looked through for garbage again
    gc.enable()
    is_terminated = False

    async def run() -> T:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal is_terminated
            is_terminated = True
            if task:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await story()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        if is_terminated:
            raise errors.Terminated from None
        raise


class Door:
    """Temporal first, the store where Temporal has forgotten."""

    def __init__(self, deployments: Deployments, settings: Settings) -> None:
        self.deployments = deployments
        self.settings = settings
        self._store: Store | None = None

    async def store(self) -> Store:
        """The store: TOWLINE_STORE, else what a worker wrote into the catalogue.

        Raises `NotFound` where none is known or it cannot be reached from here, `TemporalUnavailable`.
        """
        if self._store is None:
            address = self.settings.store or await self._store_of_workers()
            self._store = await asyncio.to_thread(open_for_client, address)
        return self._store

    async def _store_of_workers(self) -> str:
        catalogue = Catalogue(self.deployments.temporal)
        address = await catalogue.store_address()
        for _ in range(STORE_LOOKS):
            if address:
                break
            await asyncio.sleep(0.5)  # a first worker tells it a moment after it answers
            address = await catalogue.store_address()
        if not address:
            raise errors.NotFound("no worker has told where its store is.", "Start one, or set TOWLINE_STORE.")
        return address

    async def records(self) -> Records:
        """What the store remembers; raises as `store`."""
        return Records(await self.store())

    async def records_if_any(self) -> Records | None:
        """The same, or None where the store is out of reach: then there is less to tell."""
        try:
            return await self.records()
        except (errors.NotFound, errors.TemporalUnavailable, errors.OurFault):
            return None

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, text: str) -> str:
        """The deployment id that a person means, by id, a beginning of one, or APP/GROUP.

        Raises `NotFound`, `Conflict`.
        """
        if "/" in text:
            return await self._find_of_group(text)
        try:
            return await self.deployments.resolve(text)
        except errors.NotFound:
            records = await self.records_if_any()
            if records is None:
                raise
            return the_only_one(text, await asyncio.to_thread(records.ids_beginning_with, text))

    async def _find_of_group(self, text: str) -> str:
        """A group's active deployment, else the newest that touched an instance, else the newest.

        A request that was refused or stopped in the queue must not stand before what runs.
        """
        application, _, group = text.partition("/")
        found = await self.deployments.list(application=application, group=group)
        if active := the_active(found):
            return active
        ids = [one.deployment_id for one in found]
        if records := await self.records_if_any():
            ids += [one for one in await asyncio.to_thread(records.ids_of_group, text, LOOKED_AT) if one not in ids]
        if not ids:
            raise errors.NotFound(f"nothing was deployed to {text} as far as is known.", "See: towline list")
        for deployment_id in ids[:LOOKED_AT]:
            progress = (await self.view(deployment_id)).progress
            if progress.touched or not progress.is_whole:
                return deployment_id
        return ids[0]

    async def group(self, text: str) -> DeploymentGroup:
        """The declared group that `APP/GROUP` names. Raises `NotFound`, `TemporalUnavailable`."""
        groups = await Catalogue(self.deployments.temporal).groups()
        if text not in groups:
            hint = did_you_mean(text, groups) or "See: towline instances"
            raise errors.NotFound(f"no deployment group {text}: it is written APP/GROUP.", hint)
        return groups[text]

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def view(self, deployment_id: str) -> DeploymentView:
        """The view as Temporal or else the report has it. Raises `NotFound`."""
        view = await self.deployments.view(deployment_id)
        if view:
            return view
        report = await self._report(deployment_id)
        if report is None:
            raise errors.NotFound(f"there is no deployment {deployment_id!r}.", "See: towline list")
        return view_of_report(report)

    def fleet(self, deployment_id: str) -> LiveFleet:
        """The live instances of a deployment."""
        return LiveFleet(self.deployments.temporal, deployment_id)

    async def live(self, deployment_id: str, view: DeploymentView, fleet: LiveFleet) -> dict[str, Live]:
        """The instances as Temporal tells them, whether the deployment is open or has ended."""
        if fleet.frozen is None and view.progress.total:
            fleet.frozen = await self._frozen(deployment_id)
        if view.progress.shards:
            return await fleet.read(view.progress)
        others = TargetStatus.PENDING if view.progress.phase.is_before_the_end else TargetStatus.SKIPPED
        return await fleet.read_all_ended(others)

    async def live_or_recorded(self, deployment_id: str, view: DeploymentView) -> dict[str, Live]:
        """As `live`; once it has ended from the report, which has times, and which Temporal does not forget."""
        if await self.has_closed(deployment_id) and (report := await self._report(deployment_id)):
            return live_of_report(report)
        return await self.live(deployment_id, view, self.fleet(deployment_id))

    async def run_id(self, deployment_id: str) -> str:
        """The first execution run id of a deployment, by which hosts know it. Raises `NotFound`."""
        known = await self.deployments.run_id(deployment_id)
        if not known and (report := await self._report(deployment_id)):
            known = report.get("runId", "")
        if not known:
            raise errors.NotFound(f"the run of {deployment_id} is no longer known.", "See: towline list")
        return known

    async def has_closed(self, deployment_id: str) -> bool:
        """Whether its workflow has ended, or is forgotten: a failed one stays open while its rollback runs."""
        return not await self.deployments.is_open(deployment_id)

    async def document(self, deployment_id: str, view: DeploymentView | None = None) -> dict[str, Any]:
        """What `--json` prints: the view and each instance, from wherever it is known best."""
        view = view or await self.view(deployment_id)
        report = await self._report(deployment_id)
        if report is not None and view.info.get("status") == report["deploymentInfo"].get("status"):
            targets = [one["instanceTarget"] for one in report["deploymentTargets"]]
            return document(view, targets, report["progress"].get("instances", {}))
        live = await self.live(deployment_id, view, self.fleet(deployment_id))
        targets, extras = await self._targets(deployment_id, live)
        return document(refined(view, live), targets, extras)

    async def _targets(self, deployment_id: str, live: dict[str, Live]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        ended = [name for name, one in live.items() if one.outcome is not None]
        records = await self.records_if_any() if ended else None
        written = await asyncio.to_thread(records.instances, deployment_id, ended) if records else {}
        targets, extras = [], {}
        for name, one in live.items():
            if name in written:
                targets.append(ended_target(deployment_id, written[name]))
            elif one.status is TargetStatus.IN_PROGRESS:
                targets.append(live_target(deployment_id, name, one.heartbeat))
            else:
                targets.append(plain_target(deployment_id, name, one.status.value, one.end_time))
            extras[name] = _extra(one)
        return targets, extras

    async def _frozen(self, deployment_id: str) -> tuple[str, ...]:
        records = await self.records_if_any()
        return await asyncio.to_thread(records.fleet, deployment_id) if records else ()

    async def _report(self, deployment_id: str) -> dict[str, Any] | None:
        records = await self.records_if_any()
        return await asyncio.to_thread(records.report, deployment_id) if records else None


def live_of_report(report: dict[str, Any]) -> dict[str, Live]:
    """The instances of a report, as far as a table shows them."""
    extras = report["progress"].get("instances", {})
    found = {}
    for one in report["deploymentTargets"]:
        target = one["instanceTarget"]
        extra = extras.get(target["targetId"], {})
        found[target["targetId"]] = Live(
            name=target["targetId"],
            status=TargetStatus(target["status"]),
            outcome=Outcome(extra["outcome"]) if extra.get("outcome") else None,
            start_time=extra.get("startTime", ""),
            end_time=extra.get("endTime", ""),
            message=extra.get("message", ""),
        )
    return found


def _extra(one: Live) -> dict[str, Any]:
    beat = one.heartbeat
    extra = {
        "outcome": one.outcome.value if one.outcome else "",
        "startTime": one.start_time,
        "endTime": one.end_time,
        "message": one.message,
        "phase": beat.phase if beat else "",
        "script": beat.script if beat else "",
        "note": beat.note if beat else "",
    }
    return {key: value for key, value in extra.items() if value}
