"""Writes of operations to the catalogue: in the caller's name, known again when an SDK sends the call again.

Operations that read before they write are `retried` where another writer came in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from towline.api.errors import ApiError
from towline.api.service import Context
from towline.catalogue.repository import CatalogueConflict, CatalogueFull
from towline.model.catalogue.records import Change, Record, Unchanged

P = ParamSpec("P")
T = TypeVar("T")
ATTEMPTS = 5
FULL = {"application": "ApplicationLimitExceededException", "group": "DeploymentGroupLimitExceededException"}
"""The codes of limits, by the kind of record; the others have none in CodeDeploy's model."""


async def write(
    context: Context, changes: Iterable[Change], *, exists: Iterable[str] = (), unchanged: Iterable[Unchanged] = ()
) -> None:
    """Makes the changes. Raises ApiError where the catalogue is full, CatalogueConflict."""
    name = context.call.caller.key.name
    try:
        await context.catalogue.write(
            changes, exists=exists, unchanged=unchanged, batch_id=context.call.invocation_id, by=name
        )
    except CatalogueFull as full:
        raise ApiError(FULL.get(full.limit.partition("/")[0], "InvalidInputException"), full.message) from full


def wrote(context: Context, record: Record | None) -> bool:
    """Whether this call wrote the record: in an attempt before, whose answer the SDK did not get."""
    invocation = context.call.invocation_id
    return record is not None and invocation != "" and record.batch == invocation


def retried(
    operation: Callable[Concatenate[Context, P], Awaitable[T]],
) -> Callable[Concatenate[Context, P], Awaitable[T]]:
    """Runs an operation again, from its reads on, where what it had read was changed before it wrote."""

    @wraps(operation)
    async def run(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(ATTEMPTS):
            try:
                return await operation(context, *args, **kwargs)
            except CatalogueConflict:
                continue
        raise contended()

    return run


def contended() -> ApiError:
    """The error of a change that others got ahead of each time; SDKs wait and try again."""
    return ApiError("ThrottlingException", "Several callers are changing this at once; try again.")
