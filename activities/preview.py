"""`preview`: what a deployment would do, found by the deployment's own steps, without touching anything.

Group, revision and the order of the fleet are read as by a deployment; hosts are asked with the host protocol's
`plan`, which starts nothing. It joins no queue and freezes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from temporalio import activity
from temporalio.client import Client

from activities.errors import translated
from activities.revisions import listing_key
from towline.aside import aside
from towline.deployments.group_history import read_memory
from towline.errors import NotFound, TowlineError
from towline.model import names
from towline.model.bundle.revision import ReadRevision, ResolvedRevision
from towline.model.deployment.activity_inputs import fleet_question, group_question, order_of, revision_question
from towline.model.deployment.ending import Ending, why_not_begun
from towline.model.deployment.preview import AskPreview, Preview, estimate, hosts_of, verdict
from towline.model.deployment.requirements import check_is_built, group_warnings
from towline.model.deployment.status import ErrorCode
from towline.model.fleet.frozen import freeze
from towline.model.fleet.instance import Target
from towline.model.host.events import HostRefusal
from towline.model.host.order import AskHosts, HostAnswer, HostAnswers
from towline.model.messages.deploy import DeploymentOrder, DeployRequest, GroupFacts, ReadGroup
from towline.model.messages.fleet import Fleet, ReadFleet
from towline.model.messages.group import GroupView
from towline.model.rollout.health import floor_of, slots_of
from towline.model.worker_call import WorkerCall
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords
from towline.worker_call import call_worker

PREVIEW_ID = "preview"  # no deployment has it; hosts are only asked


class ReadsInventory(Protocol):
    """What of `InventoryActivities` is needed here."""

    async def group_facts(self, request: ReadGroup) -> GroupFacts:
        """The group and the configuration in force."""

    async def find_targets(self, request: ReadFleet) -> tuple[dict[str, Target], list[str]]:
        """The instances that a deployment would have, by name, and warnings."""


@dataclass(frozen=True)
class Sources:
    """Where a preview gets its facts: other activities' own functions."""

    inventory: ReadsInventory
    read_revision: Callable[[ReadRevision], Awaitable[ResolvedRevision]]
    ask_hosts: Callable[[AskHosts], Awaitable[HostAnswers]]


class PreviewActivities:
    """Answers `towline deploy --plan` and `towline rollback --plan`."""

    def __init__(self, client: Client, store: Store, sources: Sources) -> None:
        self._client = client
        self._store = store
        self._sources = sources

    @activity.defn
    async def preview(self, question: AskPreview) -> Preview:
        """What the request would do. Fails as the deployment itself would before its first instance."""
        with translated():
            return await self._preview(question.request)

    async def _preview(self, request: DeployRequest) -> Preview:
        facts = await self._sources.inventory.group_facts(group_question(request))
        check_is_built(request, facts.group)
        revision = await self._revision(request, facts)
        order = order_of(request, facts.group, revision, deployment_id=PREVIEW_ID, run_id=PREVIEW_ID)
        fleet, targets, memory = await self._fleet(request, facts, order)
        answers = await self._ask(order, revision, [targets[member.name] for member in fleet.members])
        roots = {name: target.local.root for name, target in targets.items() if target.local}
        hosts, changes = await aside(hosts_of, fleet.members, answers, roots)
        rule = facts.config.minimum_healthy_hosts
        floor = floor_of(rule, len(hosts))
        slots = slots_of(rule, len(hosts), request.undo)
        return Preview(
            application=facts.group.application_name,
            group=facts.group.deployment_group_name,
            config=facts.config.deployment_config_name,
            revision=revision.label if revision else "",
            sha256=revision.sha256 if revision else "",
            size=revision.size if revision else 0,
            slots=slots,
            minimum_healthy=floor,
            hosts=hosts,
            changes=changes,
            estimate_seconds=await self._estimate(memory, len(hosts), slots),
            warnings=(*group_warnings(facts.group), *fleet.warnings, *(revision.warnings if revision else ())),
            would_fail=verdict(hosts, changes, floor, is_undo=request.undo is not None),
            problem=_refusal(answers)
            if request.undo and hosts
            else _problem(why_not_begun(rule, len(hosts), is_rollback=request.undo is not None), len(hosts), floor),
        )

    async def _revision(self, request: DeployRequest, facts: GroupFacts) -> ResolvedRevision | None:
        if request.revision is None:
            return None
        return await self._sources.read_revision(
            revision_question(request.revision, PREVIEW_ID, facts.group, strict=request.strict)
        )

    async def _fleet(
        self, request: DeployRequest, facts: GroupFacts, order: DeploymentOrder
    ) -> tuple[Fleet, Mapping[str, Target], GroupView | None]:
        question = fleet_question(request, facts.group, order)
        (targets, warnings), (memory, states) = await asyncio.gather(
            self._sources.inventory.find_targets(question), read_memory(self._client, facts.group)
        )
        return freeze(question, targets, states, memory, warnings).fleet, targets, memory

    async def _ask(
        self, order: DeploymentOrder, revision: ResolvedRevision | None, targets: list[Target]
    ) -> dict[str, HostAnswer]:
        """The hosts' plans; what an undo goes back to is in their journals."""
        files_key = listing_key(revision.sha256) if revision else ""
        question = AskHosts(do="plan", order=order, files_key=files_key)
        polled = tuple(target for target in targets if target.polls)
        others = tuple(target for target in targets if not target.polls)
        told = await asyncio.gather(
            self._sources.ask_hosts(question.model_copy(update={"targets": others})),
            self._ask_polled(question.model_copy(update={"targets": polled})),
        )
        return {one.instance: one for answers in told for one in answers.answers}

    async def _ask_polled(self, question: AskHosts) -> HostAnswers:
        """The same of instances that poll: the API servers ask them."""
        if not question.targets:
            return HostAnswers()
        call = WorkerCall(
            activity="ask_hosts",
            argument=question.model_dump(mode="json"),
            task_queue=names.AGENTS_TASK_QUEUE,
            summary="plans of instances that poll",
        )
        return await call_worker(self._client, call, HostAnswers)

    async def _estimate(self, memory: GroupView | None, hosts: int, slots: int) -> float | None:
        last = memory.last_succeeded or memory.last_attempted if memory else ""
        if not last:
            return None
        try:
            report = await asyncio.to_thread(DeploymentRecords(self._store).report, last)
        except (NotFound, TowlineError):
            return None  # an estimate is not worth failing for
        return estimate(report.details.values() if report else (), hosts, slots)


def _refusal(answers: Mapping[str, HostAnswer]) -> str:
    """Why an undo would come to nothing: every host refuses it. Empty where one does not."""
    refused = [told.answer for told in answers.values() if isinstance(told.answer, HostRefusal)]
    if len(refused) < len(answers):
        return ""
    return f"every instance would refuse: {refused[0].message}  {refused[0].hint}".rstrip()


def _problem(ending: Ending | None, hosts: int, floor: int) -> str:
    """Why the deployment would fail at once; empty where it would not."""
    if ending is None:
        return ""
    if ending.code == ErrorCode.NO_INSTANCES:
        return f"no instances match: the deployment would fail at once ({ending.code})"
    return (
        f"{floor} of {hosts} instances must stay healthy, so none may be taken out of service: the deployment "
        f"would fail at once ({ending.code})"
    )
