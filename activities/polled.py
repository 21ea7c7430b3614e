"""What must be at work before instances that poll can be deployed to: checked before anything is touched."""

from __future__ import annotations

import time
from collections.abc import Collection

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from towline.errors import OurFault, TemporalUnavailable
from towline.model import names
from towline.model.fleet.instance import Target

AT_WORK_SECONDS = 70
"""A live worker polls Temporal at least once in this time."""

AGENTS_AT = " agents "
"""In the identity of an API server's worker: the address at which other API servers reach it follows."""


async def check_polled(client: Client, targets: Collection[Target]) -> None:
    """Raises OurFault where there are hosts that poll and no API server is at work."""
    polled = [target for target in targets if target.polls]
    if polled and not await api_servers(client):
        raise OurFault(
            f"no API server is at work, and {_shown([target.name for target in polled])} can only be reached by one.",
            "Start one: towline api",
        )


async def api_servers(client: Client) -> list[str]:
    """The identities of the API servers that hosts poll. Raises TemporalUnavailable."""
    asked = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=names.AGENTS_TASK_QUEUE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    try:
        described = await client.workflow_service.describe_task_queue(asked)
    except RPCError as error:
        raise TemporalUnavailable(f"Temporal does not say which API servers are at work: {error.message}") from error
    since = time.time() - AT_WORK_SECONDS
    return [poller.identity for poller in described.pollers if poller.last_access_time.ToSeconds() > since]


def _shown(names_: list[str]) -> str:
    more = len(names_) - 3
    return ", ".join(names_[:3]) + (f" and {more} more" if more > 0 else "")
