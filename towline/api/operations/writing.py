"""Writes of operations to the catalogue: in the caller's name, known again when an SDK sends the call again."""

from __future__ import annotations

from collections.abc import Iterable

from towline.api.errors import ApiError
from towline.api.service import Context
from towline.catalogue.client import CatalogueFull
from towline.model.catalogue.records import Change, Unchanged

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
