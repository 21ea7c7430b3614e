"""towline's errors at the border to Temporal: the one place where they become `ApplicationError`.

    with translated():
        ...

The type is the error's code; the details are one object with `message`, `hint` and `problems`. Errors in what users
wrote are not retried, since they do not go away by themselves; faults of the control plane or of a host are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from towline.errors import Conflict, InvalidInput, NotFound, TemporalUnavailable, TowlineError, WithProblems

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 2.0

EXPECTED = ApplicationErrorCategory.BENIGN
"""For errors with a message of their own: the SDK logs no traceback, which would suggest a bug."""

log = logging.getLogger("towline.activities")

Out = TypeVar("Out")


async def patiently(read: Callable[[], Awaitable[Out]]) -> Out:
    """Reads from Temporal; where it, or a worker that answers for it, is overloaded or away, tries again for a while.

    Raises the last `TemporalUnavailable` then.
    """
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await read()
        except TemporalUnavailable as error:
            if time.monotonic() >= ends:
                raise
            activity.logger.warning("tried again soon: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)


@contextmanager
def translated() -> Iterator[None]:
    """Raises an ApplicationError for each of towline's errors, which is a line in the log; others pass as they are."""
    try:
        yield
    except TowlineError as error:
        log.warning("%s: %s", error.code, error)
        raise as_application_error(error) from error


def as_application_error(error: TowlineError) -> ApplicationError:
    """The ApplicationError that stands for one of towline's errors."""
    return ApplicationError(
        str(error),
        details_of(error),
        type=error.code,
        non_retryable=isinstance(error, InvalidInput | NotFound | Conflict),
        category=EXPECTED,
    )


def details_of(error: TowlineError) -> dict[str, Any]:
    """What crosses besides type and text: plain JSON for any reader."""
    problems = error.problems if isinstance(error, WithProblems) else ()
    return {
        "message": error.message,
        "hint": error.hint,
        "problems": [problem.model_dump(mode="json") for problem in problems],
    }
