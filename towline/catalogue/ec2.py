"""Who is in groups on EC2, for `apply` and `instances`: asked of a worker, for a few seconds at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from temporalio.client import Client

from towline.errors import TowlineError
from towline.model.fleet.ec2_members import AskEc2, Ec2Found, Ec2Members
from towline.model.fleet.targets import Ec2Source
from towline.model.group.group import DeploymentGroup
from towline.model.worker_call import WorkerCall
from towline.worker_call import call_worker

ASK_SECONDS = 10.0


async def ec2_members(
    client: Client, groups: Iterable[DeploymentGroup], sources: Iterable[Mapping[str, Any]]
) -> dict[str, Ec2Members]:
    """The EC2 members of those groups that seek any, by `application/group`; a problem where they cannot be known."""
    seeking = tuple(group for group in groups if group.seeks_ec2)
    if not seeking:
        return {}
    question = AskEc2(groups=seeking, sources=tuple(Ec2Source.model_validate(source) for source in sources))
    try:
        found = await call_worker(
            client,
            WorkerCall(
                activity="find_ec2_members",
                argument=question.model_dump(mode="json", by_alias=True),
                timeout_seconds=ASK_SECONDS,
                summary="EC2 members of groups",
            ),
            Ec2Found,
        )
    except TowlineError as error:
        problem = f"a worker was asked for {ASK_SECONDS:.0f} s at most: {error}"
        return {group.full_name: Ec2Members(group=group.full_name, problem=problem) for group in seeking}
    return {one.group: one for one in found.groups}
