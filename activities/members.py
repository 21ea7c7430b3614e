"""The instances of a deployment group, resolved: declared ones and EC2's, each with everything to reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from activities.ec2 import FoundInstance, MakeClient, check_auto_scaling, find_instances
from towline.catalogue.repository import Catalogue, of_kind
from towline.errors import InvalidInput
from towline.model.fleet.instance import Access, AgentAccess, InstanceRecord, SshSettings, Target
from towline.model.fleet.same_host import once_each
from towline.model.fleet.selection import candidate, selects
from towline.model.fleet.targets import Ec2Source, NamedSshSettings, complete, target_of
from towline.model.group.group import DeploymentGroup
from towline.model.problem import did_you_mean


class Members:
    """Reads the catalogue and EC2. Raises InvalidInput, NotFound, OurFault, TemporalUnavailable."""

    def __init__(self, catalogue: Catalogue, make_client: MakeClient) -> None:
        self._catalogue = catalogue
        self._make_client = make_client

    async def of_group(self, group: DeploymentGroup) -> tuple[dict[str, Target], list[str]]:
        """The group's hosts now, each by one name; and warnings."""
        records = await self._catalogue.read_all("instance", "ssh", "ec2")
        settings = of_kind(records, "ssh", NamedSshSettings.model_validate)
        sources = of_kind(records, "ec2", Ec2Source.model_validate)
        warnings: list[str] = []
        targets: dict[str, Target] = {}
        for record in of_kind(records, "instance", InstanceRecord.model_validate).values():
            if selects(group, candidate(record)):
                targets[record.instance_name] = _target(record, settings)
        for found in await self.on_ec2(group, list(sources.values())) if group.seeks_ec2 else ():
            targets[found.candidate.name] = _ec2_target(found, settings)
            if found.state != "running":
                warnings.append(f"{found.candidate.name} is {found.state}")
        targets, twice = once_each(targets)
        return targets, warnings + twice

    async def declared(self, names: Iterable[str]) -> dict[str, Target]:
        """Those of these names that are declared, whatever group they are in."""
        records, ssh = await asyncio.gather(
            self._catalogue.read(f"instance/{name}" for name in names), self._catalogue.read_all("ssh")
        )
        settings = of_kind(ssh, "ssh", NamedSshSettings.model_validate)
        found = [InstanceRecord.model_validate(record.value) for record in records.values()]
        return {record.instance_name: _target(record, settings) for record in found}

    async def on_ec2(self, group: DeploymentGroup, sources: Sequence[Ec2Source]) -> list[FoundInstance]:
        """The group's EC2 instances in the regions of these sources."""
        if not sources:
            raise InvalidInput(
                f"group {group.full_name} selects EC2 instances, and no region is declared to seek them in.",
                "Add `ec2: [{region: …}]` to towline.yaml and run: towline apply -f towline.yaml",
            )
        answers = await asyncio.gather(
            *(asyncio.to_thread(find_instances, self._make_client, source, group) for source in sources)
        )
        check_auto_scaling(group, {name for _, known in answers for name in known})
        return [found for instances, _ in answers for found in instances if selects(group, found.candidate)]


def _target(record: InstanceRecord, settings: Mapping[str, SshSettings]) -> Target:
    try:
        return target_of(record, settings)
    except KeyError as error:
        raise _no_settings(f"instance {record.instance_name}", str(error.args[0]), settings) from None


def _ec2_target(found: FoundInstance, settings: Mapping[str, SshSettings]) -> Target:
    access = _ec2_access(found, settings)
    return Target(
        name=found.candidate.name,
        address=access.shown_as,
        zone=found.zone,
        access=access,
        tags=found.candidate.tags,
        source=f"ec2/{found.source.region}",
    )


def _ec2_access(found: FoundInstance, settings: Mapping[str, SshSettings]) -> Access:
    if found.source.agent:
        return AgentAccess(**dict(found.source.agent))
    own = found.source.ssh.model_copy(update={"host": found.address or None})
    try:
        return complete(own, found.source.ssh.use, settings, found.candidate.name)
    except KeyError as error:
        raise _no_settings(f"ec2 {found.source.region}", str(error.args[0]), settings) from None


def _no_settings(user: str, name: str, settings: Mapping[str, SshSettings]) -> InvalidInput:
    hint = did_you_mean(name, settings) or "Declare them under ssh in towline.yaml and run: towline apply"
    return InvalidInput(f"{user} uses the ssh settings {name}, which do not exist.", hint)
