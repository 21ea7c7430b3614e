"""Temporal's client: connects with the standard settings and translates errors to towline's."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Client,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError, RPCStatusCode

from towline import errors
from towline.creator import whoami
from towline.model.deployment.request import Unreadable
from towline.model.visible import visible
from towline.settings import Settings, TemporalSettings

CONNECT_SECONDS = 10.0
AT_WORK_SECONDS = 70
"""A live worker polls Temporal at least once in this time."""


class PayloadConverter(PydanticPayloadConverter):
    """Temporal's pydantic converter, except that an undecodable payload of type `Any` becomes Unreadable.

    Raising here for a workflow's input would fail its workflow task again and again: the workflow would stay open
    forever, with no error for the caller.
    """

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """See CompositePayloadConverter."""
        try:
            return super().from_payloads(payloads, type_hints)
        except (ValueError, KeyError, RuntimeError):
            hints = [*(type_hints or []), *[Any] * len(payloads)][: len(payloads)]
            return [self._from_payload(one, hint) for one, hint in zip(payloads, hints, strict=True)]

    def _from_payload(self, payload: Payload, hint: Any) -> Any:
        try:
            return super().from_payloads([payload], [hint])[0]
        except (ValueError, KeyError, RuntimeError) as error:
            if hint is not Any:
                raise
            return Unreadable(_why_unreadable(error))


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors(include_url=False, include_input=False)[0]["msg"])
    return visible(str(error))


DATA_CONVERTER = DataConverter(payload_converter_class=PayloadConverter)
"""The data converter of every towline client."""


async def connect_temporal(settings: Settings, *, logs_retries: bool = False) -> Client:
    """A connected Temporal client with towline's data converter. Raises `TemporalUnavailable`, `InvalidInput`.

    `logs_retries`: log warnings of Temporal's core, for workers; commands print one error message instead.
    """
    temporal = settings.temporal()
    options: dict[str, Any] = {
        **_given_options(temporal),
        "target_host": temporal.address,
        "namespace": temporal.namespace,
        "identity": whoami(),  # of commands; a worker sets its own
    }
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            runtime = _logging_runtime() if logs_retries else _quiet_runtime()
            return await Client.connect(data_converter=DATA_CONVERTER, runtime=runtime, **options)
    except (ValueError, TypeError) as error:
        raise errors.InvalidInput(f"TEMPORAL_ADDRESS={temporal.address}: {error}.", "Write it as HOST:PORT.") from error
    except (TimeoutError, RuntimeError, RPCError) as error:
        raise errors.TemporalUnavailable(
            f"Temporal does not answer at {temporal.address}.",
            "Start one with: towline up   or name another: TEMPORAL_ADDRESS=HOST:PORT",
        ) from error


def _given_options(temporal: TemporalSettings) -> Mapping[str, Any]:
    """TLS, API key and other options from the environment or the profile file. Raises InvalidInput."""
    try:
        return temporal.profile.to_client_connect_config()
    except OSError as error:
        raise errors.InvalidInput(
            f"Temporal's settings name {error.filename}, which cannot be read: {error.strerror}.",
            "See TEMPORAL_TLS_CLIENT_CERT_PATH, …_KEY_PATH and …_SERVER_CA_CERT_PATH, or the profile file.",
        ) from error


@functools.cache
def _quiet_runtime() -> Runtime:
    only_errors = TelemetryFilter(core_level="ERROR", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=only_errors)))


@functools.cache
def _logging_runtime() -> Runtime:
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    warnings = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=warnings, forwarding=forwarding)))


@contextmanager
def asking(doing: str) -> Iterator[None]:
    """Translates the errors of Temporal's client to towline's, in one place.

    `Conflict` for a rejected update, `NotFound` for a workflow that is not open, `TemporalUnavailable` otherwise.
    """
    try:
        yield
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        raise errors.Conflict(getattr(cause, "message", "") or str(cause)) from error
    except WorkflowQueryFailedError as error:
        raise errors.TemporalUnavailable(
            f"the worker could not answer ({doing}): {error.message}", "Its log says more."
        ) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise _no_worker(doing) from error
    except RPCError as error:
        raise _translated(error, doing) from error


def _translated(error: RPCError, doing: str) -> errors.TowlineError:
    if is_absent(error):
        return errors.NotFound(f"Temporal knows no such open deployment ({doing}).", "See: towline list")
    if error.status == RPCStatusCode.NOT_FOUND:
        return errors.TemporalUnavailable(f"Temporal refused the request: {error.message}", "See TEMPORAL_NAMESPACE.")
    if is_no_worker(error):
        return _no_worker(doing)
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return errors.TemporalUnavailable(
            f"Temporal refused the request ({doing}): {error.message}", "See TEMPORAL_API_KEY."
        )
    return errors.TemporalUnavailable(f"Temporal does not answer ({doing}): {error.message}", "See TEMPORAL_ADDRESS.")


def _no_worker(doing: str) -> errors.TemporalUnavailable:
    return errors.TemporalUnavailable(
        f"no worker answers ({doing}).", "Start one: towline worker   (or all in one: towline up)"
    )


def is_no_worker(error: RPCError) -> bool:
    """Whether no worker answered: Temporal said so, or the request timed out."""
    return error.status in (
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.FAILED_PRECONDITION,
    )


def is_absent(error: RPCError) -> bool:
    """Whether there is no such workflow; a missing namespace has the same status but is a different error."""
    return error.status == RPCStatusCode.NOT_FOUND and not error.message.startswith("Namespace ")


async def workers_at_work(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> list[str]:
    """Return the identities of the live workers of a task queue. Raises RPCError."""
    asked = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
    )
    described = await client.workflow_service.describe_task_queue(asked)
    since = time.time() - AT_WORK_SECONDS
    return [poller.identity for poller in described.pollers if poller.last_access_time.ToSeconds() > since]
