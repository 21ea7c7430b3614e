"""Reads what a deployment works on, once: its group and configuration, and its instances, frozen in the store."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

from temporalio import activity
from temporalio.client import Client

from activities.ec2 import MakeClient
from activities.errors import patiently, translated
from activities.members import Members
from activities.polled import check_polled
from towline import aws
from towline.catalogue.repository import Catalogue
from towline.deployments.group_history import read_memory
from towline.errors import InvalidInput, NotFound, TowlineError
from towline.model import names
from towline.model.deployment.status import ErrorCode, Outcome
from towline.model.fleet.ec2_members import AskEc2, Ec2Found, Ec2Member, Ec2Members
from towline.model.fleet.frozen import freeze
from towline.model.fleet.instance import Target
from towline.model.fleet.ssh_paths import MISSING, CheckPaths, PathFinding, PathFindings
from towline.model.fleet.targets import Ec2Source
from towline.model.group.config import PREDEFINED
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import GroupFacts, ReadGroup
from towline.model.messages.fleet import Fleet, ReadFleet
from towline.model.problem import did_you_mean
from towline.model.rollout.order import natural
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords

LARGEST_FLEET_BYTES = 1_900_000
NEVER_BEGUN = (Outcome.SKIPPED.value, Outcome.BLOCKED.value)


class InventoryActivities:
    """Reads the catalogue, EC2 and memory; writes fleet pages. `make_client(service, region)` is boto3's."""

    def __init__(
        self, client: Client, store: Store, make_client: MakeClient = aws.client, task_queue: str = names.TASK_QUEUE
    ) -> None:
        self._client = client
        self._records = DeploymentRecords(store)
        self._catalogue = Catalogue(client, task_queue=task_queue, by=f"worker on {socket.gethostname()}")
        self._members = Members(self._catalogue, make_client)

    # ── the group ────────────────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def read_group(self, request: ReadGroup) -> GroupFacts:
        """The group and the configuration in force; NotFound with CodeDeploy's code and the near names otherwise."""
        with translated():
            return await patiently(lambda: self.group_facts(request))

    async def group_facts(self, request: ReadGroup) -> GroupFacts:
        """The same without Temporal's errors."""
        found = await self._catalogue.group_facts(request.application, request.group)
        if found is None:
            raise await self._no_group(request)
        group, application_id = found
        name = request.config_name or group.deployment_config_name
        config = await self._catalogue.config(name)
        if config is None:
            known = [*PREDEFINED, *await self._catalogue.configs()]
            hint = did_you_mean(name, known) or "Declare it under deploymentConfigs and run: towline apply"
            raise NotFound(f"no deployment configuration {name}.", hint, code=ErrorCode.CONFIG_MISSING)
        return GroupFacts(group=group, config=config, application_id=application_id)

    async def _no_group(self, request: ReadGroup) -> NotFound:
        keys = await self._catalogue.read_all("application")
        applications = [key.partition("/")[2] for key in keys]
        advice = "Declare it in towline.yaml and run: towline apply -f towline.yaml"
        if request.application not in applications:
            hint = did_you_mean(request.application, applications) or advice
            return NotFound(f"no application {request.application}.", hint, code=ErrorCode.APPLICATION_MISSING)
        every = [name.split("/") for name in await self._catalogue.groups()]
        hint = did_you_mean(request.group, [group for app, group in every if app == request.application]) or advice
        message = f"application {request.application} has no deployment group {request.group}."
        return NotFound(message, hint, code=ErrorCode.DEPLOYMENT_GROUP_MISSING)

    # ── the fleet ────────────────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def read_fleet(self, request: ReadFleet) -> Fleet:
        """Resolves the instances, orders them, and freezes how to reach them in the store. May be repeated."""
        with translated():
            return await patiently(lambda: self.fleet(request))

    async def fleet(self, request: ReadFleet) -> Fleet:
        """The same without Temporal's errors. Raises InvalidInput, NotFound, OurFault, TemporalUnavailable."""
        (targets, warnings), (view, states), _ = await asyncio.gather(
            self.find_targets(request),
            read_memory(self._client, request.group),
            asyncio.to_thread(self._records.check_is_new, request.order.deployment_id, request.order.run_id),
        )
        frozen = freeze(request, targets, states, view, warnings)
        check_fits(frozen.fleet, request.group)
        await asyncio.to_thread(self._records.freeze, request.order, frozen.pages)
        return frozen.fleet

    async def find_targets(self, request: ReadFleet) -> tuple[dict[str, Target], list[str]]:
        """The instances that a deployment would have, by name, and warnings; nothing is written."""
        if request.order.undo:
            return await self._of_undone(request)  # waits for an API server where there is none: hosts are to go back
        targets, warnings = await self._of_group(request)
        await check_polled(self._client, targets.values())
        return targets, warnings

    async def _of_group(self, request: ReadFleet) -> tuple[dict[str, Target], list[str]]:
        targets, warnings = await self._members.of_group(request.group)
        if request.only is None:
            return targets, warnings
        gone = [name for name in request.only if name not in targets]
        warnings += [f"{name} is not in the group" for name in gone]
        return {name: targets[name] for name in request.only if name in targets}, warnings

    async def _of_undone(self, request: ReadFleet) -> tuple[dict[str, Target], list[str]]:
        """A rollback's instances: by name, whatever tags they have now.

        What is declared now says how to reach them; what is no longer declared is reached as the undone deployment
        reached it.
        """
        undo = request.order.undo
        assert undo
        frozen = await asyncio.to_thread(self._records.targets, undo.deployment_id)
        wanted = request.only
        if wanted is None:
            wanted = await asyncio.to_thread(self._touched, undo.deployment_id, frozen)
        known = frozen | await self._members.declared(wanted)
        gone = [name for name in wanted if name not in known]
        warnings = [f"{name} is unknown, now and in {undo.deployment_id}: it stays as it is" for name in gone]
        return {name: known[name] for name in wanted if name in known}, warnings

    # ── the store ────────────────────────────────────────────────────────────────────────────────────────────────

    def _touched(self, deployment_id: str, frozen: Collection[str]) -> tuple[str, ...]:
        """The instances on which a runner began, or may have begun: those are asked, and their journals decide.

        A record is certain. An instance without one was never begun where the report says so; a deployment
        that was terminated has no report, and those that were in flight then have no record.
        """
        records = self._records.all_instances(deployment_id)
        recorded = {name: record.outcome.was_touched for name, record in records.items()}
        never = self._never_begun(deployment_id)
        if not recorded and not frozen and never is None:
            raise NotFound(f"the store knows nothing of what deployment {deployment_id} did.", "See: towline list")
        unrecorded = [name for name in frozen if name not in recorded and name not in (never or ())]
        return (*(name for name, was_touched in recorded.items() if was_touched), *unrecorded)

    def _never_begun(self, deployment_id: str) -> frozenset[str] | None:
        """The instances that a deployment's report knows as never begun; None where there is no report."""
        report = self._records.report(deployment_id)
        if report is None:
            return None
        return frozenset(name for name, known in report.details.items() if known.outcome in (None, *NEVER_BEGUN))

    # ── a client's question ──────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def check_paths(self, request: CheckPaths) -> PathFindings:
        """Returns which paths are on this worker, and which of them are missing or unreadable."""
        findings = await asyncio.to_thread(lambda: tuple(_look_at(path) for path in request.paths))
        return PathFindings(worker=socket.gethostname(), findings=findings)

    @activity.defn
    async def find_ec2_members(self, request: AskEc2) -> Ec2Found:
        """Returns the members of groups on EC2, as declared now or in a new towline.yaml, with errors by group."""
        found = await asyncio.gather(*(self._on_ec2(group, request.sources) for group in request.groups))
        return Ec2Found(groups=tuple(found))

    async def _on_ec2(self, group: DeploymentGroup, sources: Sequence[Ec2Source]) -> Ec2Members:
        try:
            found = await self._members.on_ec2(group, sources)
        except TowlineError as error:
            return Ec2Members(group=group.full_name, problem=str(error))
        members = (
            Ec2Member(name=one.candidate.name, zone=one.zone, address=one.address, state=one.state) for one in found
        )
        return Ec2Members(group=group.full_name, members=tuple(sorted(members, key=lambda one: natural(one.name))))


def check_fits(fleet: Fleet, group: DeploymentGroup) -> None:
    """Raises InvalidInput for more instances than a payload of Temporal's (2 MiB) can name: some 16,000."""
    size = len(fleet.model_dump_json())
    if size > LARGEST_FLEET_BYTES:
        raise InvalidInput(
            f"group {group.full_name} has {len(fleet.members)} instances, more than one deployment can carry: "
            f"their list takes {size / 2**20:.1f} MiB, Temporal allows {LARGEST_FLEET_BYTES / 2**20:.1f}.",
            "Split the group, by a tag for instance, and deploy to its parts.",
        )


def _look_at(text: str) -> PathFinding:
    try:
        path = Path(text).expanduser()
        if not path.is_absolute():
            return PathFinding(path=text, resolved=str(path.absolute()), problem="is not absolute")
        if not path.exists():
            return PathFinding(path=text, resolved=str(path), problem=MISSING)
        problem = "" if os.access(path, os.R_OK) else "cannot be read"
        return PathFinding(path=text, resolved=str(path), problem=problem)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory for ~user
        return PathFinding(path=text, resolved=text, problem=f"cannot be looked at: {error}")
