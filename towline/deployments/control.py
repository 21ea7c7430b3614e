"""Pausing, resuming and stopping an open deployment."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from towline import errors
from towline.model import names
from towline.model.messages.deploy import PauseAnswer, StopAnswer, StopRequest
from towline.temporal import asking, is_no_worker

ANSWER_SECONDS = 5.0

T = TypeVar("T")


async def pause(client: Client, deployment_id: str) -> PauseAnswer | None:
    """Start nothing new from now on; see `_update_or_signal`."""
    return await _update_or_signal(client, deployment_id, names.PAUSE, None, PauseAnswer)


async def resume(client: Client, deployment_id: str) -> PauseAnswer | None:
    """Go on after a pause; see `_update_or_signal`."""
    return await _update_or_signal(client, deployment_id, names.RESUME, None, PauseAnswer)


async def stop(
    client: Client, deployment_id: str, request: StopRequest, *, confirm_seconds: float = 0.0
) -> StopAnswer | None:
    """Request a stop; see `_update_or_signal`.

    The answer is `Pending` until every shard has confirmed that it starts nothing more. For `confirm_seconds` the
    request is repeated until then: stopping twice is stopping once.
    """
    argument = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    answer = await _update_or_signal(client, deployment_id, names.CANCEL, argument, StopAnswer)
    loop = asyncio.get_running_loop()
    until = loop.time() + confirm_seconds
    delay = 0.03  # shards confirm within some hundredths of a second where their worker lives
    while answer and answer.status == "Pending" and not answer.rollback_deployment_id and loop.time() < until:
        await asyncio.sleep(delay)
        delay = min(0.25, delay * 2)
        try:
            again = await _update_or_signal(client, deployment_id, names.CANCEL, argument, StopAnswer)
        except (errors.NotFound, errors.Conflict):  # it has ended meanwhile
            return StopAnswer(status="Succeeded")
        answer = again or answer
    return answer


async def _update_or_signal(client: Client, deployment_id: str, name: str, argument: Any, answer: type[T]) -> T | None:
    """Send an update and return its answer; where no worker answers, send a signal that the next worker finds.

    Returns:
        The answer, or None where only the signal could be sent.

    Raises:
        Conflict: the deployment refuses, with the reason.
        NotFound: there is no such open deployment.
        TemporalUnavailable: Temporal itself does not answer.
    """
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(deployment_id)
    arguments = [] if argument is None else [argument]
    with asking(f"{name} {deployment_id}"):
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                given: T = await handle.execute_update(name, args=arguments, result_type=answer)
                return given
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            pass
        except RPCError as error:
            if not is_no_worker(error):
                raise
        await handle.signal(name, args=arguments)
        return None
