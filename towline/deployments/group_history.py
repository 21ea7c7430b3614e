"""The workflow of a deployment group, from outside: what it remembers of its instances, and releasing its queue."""

from __future__ import annotations

import asyncio

from temporalio.client import Client
from temporalio.service import RPCError

from towline.catalogue.table_workflow import READ_TIMEOUT
from towline.model import names
from towline.model.group.group import DeploymentGroup
from towline.model.messages.group import GroupView, InstanceState, StatesPage
from towline.temporal import asking, is_absent

PAGE = 500
RELEASE_SECONDS = 20.0


async def read_queue(client: Client, group: DeploymentGroup) -> GroupView | None:
    """The group's view: who deploys, who waits, whether it is held; None where nothing was deployed there yet.

    Raises `TemporalUnavailable`.
    """
    handle = client.get_workflow_handle(names.group_workflow_id(group.deployment_group_id))
    with asking(f"reading the queue of {group.full_name}"):
        try:
            view: GroupView = await handle.query(names.STATUS, result_type=GroupView, rpc_timeout=READ_TIMEOUT)
        except RPCError as error:
            if is_absent(error):
                return None
            raise
    return view


async def read_memory(client: Client, group: DeploymentGroup) -> tuple[GroupView | None, dict[str, InstanceState]]:
    """The group's view, and the state of each instance by name; (None, {}) where nothing was deployed yet.

    Raises `TemporalUnavailable`.
    """
    handle = client.get_workflow_handle(names.group_workflow_id(group.deployment_group_id))
    states: dict[str, InstanceState] = {}
    after = ""
    with asking(f"reading the state of {group.application_name}/{group.deployment_group_name}"):
        try:
            view: GroupView = await handle.query(names.STATUS, result_type=GroupView, rpc_timeout=READ_TIMEOUT)
            while True:
                page: dict[str, InstanceState] = await handle.query(
                    "states",
                    StatesPage(after=after, limit=PAGE),
                    result_type=dict[str, InstanceState],
                    rpc_timeout=READ_TIMEOUT,
                )
                states |= page
                if len(page) < PAGE:
                    return view, states
                after = max(page)
        except RPCError as error:
            if is_absent(error):
                return None, {}
            raise


async def release_queue(client: Client, group: DeploymentGroup) -> tuple[str, GroupView | None]:
    """Lets a held queue go on. Returns why it was held (empty: it was not) and the group's view afterwards.

    Raises `TemporalUnavailable`, also where no worker answers: then nothing was released.
    """
    handle = client.get_workflow_handle(names.group_workflow_id(group.deployment_group_id))
    with asking(f"releasing {group.full_name}"):
        try:
            before: GroupView = await handle.query(names.STATUS, result_type=GroupView, rpc_timeout=READ_TIMEOUT)
            async with asyncio.timeout(RELEASE_SECONDS):
                after: GroupView = await handle.execute_update("release", result_type=GroupView)
        except RPCError as error:
            if is_absent(error):
                return "", None  # nothing was deployed there yet
            raise
    return before.held, after
