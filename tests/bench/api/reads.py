"""Rounds that read: GetDeployment of a large deployment and of 600 open ones, pages of 10,000 recorded deployments."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.bench.api.calls import Answer, Caller, Load, at_a_rate
from tests.bench.api.stand import Stand
from towline.model import names
from towline.model.deployment.listed import ListedDeployment
from towline.model.messages.shard import InstanceLive
from towline.store.journal import Journal
from workflows.stage import SHARD_SIZE

PER_SECOND = 200
SECONDS = 20.0
INSTANCES = 1_000
OPEN = 600
RECORDED = 10_000

ONE_GROUP = """
applications:
  - applicationName: large
    deploymentGroups:
      - deploymentGroupName: web
        deploymentConfigName: CodeDeployDefault.AllAtOnce
        onPremisesInstanceTagFilters: [{{Key: role, Value: large}}]
instances:
  - {{instanceName: "large-[0001:{count}]", tags: {{role: large}}, fake: {{seconds: 8}}}}
"""
GROUPS = "applications:\n  - applicationName: many\n    deploymentGroups:\n"
GROUP = "      - {{deploymentGroupName: g{n}, onPremisesInstanceTagFilters: [{{Key: of, Value: g{n}}}]}}\n"
INSTANCE = "  - {{instanceName: many-{n}, tags: {{of: g{n}}}, fake: {{seconds: 3600}}}}\n"


async def one_large(stand: Stand) -> None:
    """GetDeployment of a deployment of 1,000 instances, from its first instance to its last."""
    await stand.apply(ONE_GROUP.format(count=INSTANCES))
    await stand.start("large", "web", "d-LARGE")
    caller = stand.caller(connections=50)
    ended: list[Answer] = []

    async def get(_: int) -> Answer:
        answer = await caller.call("GetDeployment", {"deploymentId": "d-LARGE"})
        if answer.output.get("deploymentInfo", {}).get("status") in ("Succeeded", "Failed"):
            ended.append(answer)
        return answer

    calls = at_a_rate(PER_SECOND, lambda _, seconds: bool(ended) or seconds > 90, get)
    load = await stand.measured(f"GetDeployment, {INSTANCES} instances in flight", calls)
    print(f"  oldest answer: {staleness(load, await _ends(stand, 'd-LARGE')):.2f} s old")


async def _ends(stand: Stand, deployment_id: str) -> list[float]:
    """When Temporal learnt of the end of each instance."""
    ends = []
    for index in range(1, -(-INSTANCES // SHARD_SIZE) + 1):
        shard = stand.client.get_workflow_handle(names.shard_workflow_id(deployment_id, index))
        live: dict[str, InstanceLive] = await shard.query("instances", result_type=dict[str, InstanceLive])
        ends += [datetime.fromisoformat(one.end_time).timestamp() for one in live.values() if one.end_time]
    return sorted(ends)


def staleness(load: Load, ends: Sequence[float]) -> float:
    """How old the oldest answer was: before its request began, the first end that it does not count was so long ago."""
    oldest = 0.0
    for answer in load.answers:
        counted = answer.output.get("deploymentInfo", {}).get("deploymentOverview", {}).get("Succeeded", 0)
        if counted < bisect_right(ends, answer.began):
            oldest = max(oldest, answer.began - ends[counted])
    return oldest


async def many_open(stand: Stand) -> None:
    """GetDeployment of 600 open deployments in turn."""
    instances = "".join(INSTANCE.format(n=n) for n in range(OPEN))
    await stand.apply(GROUPS + "".join(GROUP.format(n=n) for n in range(OPEN)) + "instances:\n" + instances)
    ids = [f"d-OPEN{n:05d}" for n in range(OPEN)]
    for start in range(0, OPEN, 20):
        await asyncio.gather(*(stand.start("many", f"g{n}", ids[n]) for n in range(start, min(start + 20, OPEN))))
    caller = stand.caller(connections=50)
    await _until_in_progress(caller, ids)
    calls = at_a_rate(
        PER_SECOND,
        lambda _, seconds: seconds > SECONDS,
        lambda n: caller.call("GetDeployment", {"deploymentId": ids[n % OPEN]}),
    )
    await stand.measured(f"GetDeployment of {OPEN} open deployments", calls)
    for deployment_id in ids:
        await stand.client.get_workflow_handle(deployment_id).terminate()


async def recorded(stand: Stand) -> None:
    """ListDeployments over 10,000 recorded deployments, all pages, of all and with filters."""
    _write_lines(stand, RECORDED)
    caller = stand.caller(connections=1)
    await caller.call("ListDeployments", {})  # reads the journal
    since = (datetime.now(UTC) - timedelta(days=20)).timestamp()
    lists: dict[str, dict[str, object]] = {
        "all": {},
        "those that failed": {"includeOnlyStatuses": ["Failed"]},
        "those of 20 days": {"createTimeRange": {"start": since}},
    }
    for what, members in lists.items():
        await stand.measured(f"ListDeployments, {RECORDED} recorded, {what}", _all_pages(caller, members))


def _write_lines(stand: Stand, count: int) -> None:
    """A month of ends, folded as a worker would have done it."""
    start = datetime.now(UTC) - timedelta(days=30)
    at = start
    journal = Journal(stand.store, "deployments", clock=lambda: at.timestamp())
    for n in range(0, count, 50):
        at = start + timedelta(days=30) * n / count
        journal.append(*(_line(m, at + timedelta(seconds=m - n)).as_entry() for m in range(n, n + 50)))
    journal.fold()


def _line(number: int, began: datetime) -> ListedDeployment:
    return ListedDeployment(
        deployment_id=f"d-PAST{number:06d}",
        application="past",
        group=f"g{number % 20}",
        status="Failed" if number % 10 == 0 else "Succeeded",
        revision=f"s3://releases/past-{number % 500}.zip?versionId={number % 500}",
        start_time=began.isoformat(),
        close_time=(began + timedelta(minutes=4)).isoformat(),
        requested_by="ci",
    )


async def _all_pages(caller: Caller, members: dict[str, object]) -> Load:
    load, token = Load(), None
    while True:
        answer = await caller.call("ListDeployments", members | ({"nextToken": token} if token else {}))
        load.answers.append(answer)
        load.seconds += answer.seconds
        token = answer.output.get("nextToken")
        if not token:
            return load


async def _until_in_progress(caller: Caller, ids: Sequence[str]) -> None:
    waiting = list(ids)
    while waiting:
        answers = [await caller.call("GetDeployment", {"deploymentId": one}) for one in waiting]
        waiting = [
            one
            for one, answer in zip(waiting, answers, strict=True)
            if not answer.output.get("deploymentInfo", {}).get("deploymentOverview", {}).get("InProgress")
        ]
        await asyncio.sleep(1)
