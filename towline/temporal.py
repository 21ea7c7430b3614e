"""Temporal's client: connecting by its standard settings, and its errors in towline's words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from towline import errors
from towline.settings import Settings

CONNECT_SECONDS = 10.0


async def connect_temporal(settings: Settings) -> Client:
    """A connected Temporal client with towline's data converter. Raises `TemporalUnavailable`, `InvalidInput`."""
    temporal = settings.temporal()
    options: dict[str, Any] = {
        **temporal.profile.to_client_connect_config(),
        "target_host": temporal.address,
        "namespace": temporal.namespace,
    }
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Client.connect(data_converter=pydantic_data_converter, **options)
    except (TimeoutError, RuntimeError, RPCError) as error:
        raise errors.TemporalUnavailable(
            f"Temporal does not answer at {temporal.address}.",
            "Start one with: towline up   or name another: TEMPORAL_ADDRESS=HOST:PORT",
        ) from error


@contextmanager
def asking(doing: str) -> Iterator[None]:
    """Translates what Temporal's client raises into towline's errors."""
    try:
        yield
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        raise errors.Conflict(getattr(cause, "message", "") or str(cause)) from error
    except WorkflowQueryFailedError as error:
        raise errors.TemporalUnavailable(
            f"the worker could not answer ({doing}): {error.message}", "Its log says more."
        ) from error
    except RPCError as error:
        raise _translated(error, doing) from error


def _translated(error: RPCError, doing: str) -> errors.TowlineError:
    if error.status == RPCStatusCode.NOT_FOUND:
        return errors.NotFound(f"Temporal knows no such open deployment ({doing}).", "See: towline list")
    if is_no_worker(error):
        return errors.TemporalUnavailable(
            f"no worker answers ({doing}).", "Start one: towline worker   (or all in one: towline up)"
        )
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return errors.TemporalUnavailable(f"Temporal refuses us ({doing}): {error.message}", "See TEMPORAL_API_KEY.")
    return errors.TemporalUnavailable(f"Temporal does not answer ({doing}): {error.message}", "See TEMPORAL_ADDRESS.")


def is_no_worker(error: RPCError) -> bool:
    """Whether Temporal answered that nobody works for it: in time, or by letting the question run out of it."""
    return error.status in (
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.FAILED_PRECONDITION,
    )
