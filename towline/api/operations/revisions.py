"""Revisions of an application: register, look at, list."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from towline.api.errors import ApiError
from towline.api.operations.applications import application_record
from towline.api.paging import page
from towline.api.revisions import revision_from, revision_shown
from towline.api.rules import MAX_BATCH_TARGETS
from towline.api.service import Context, Handler
from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.revisions import Deployed, Revision, SortBy, identity, in_order, place_of, selected

Choice = TypeVar("Choice", bound=StrEnum)


async def register_application_revision(context: Context) -> Mapping[str, Any]:
    """RegisterApplicationRevision. Whether the object exists is not looked at, as on AWS."""
    name = await _application(context)
    location = revision_from(context.input["revision"])
    revisions = await context.backend.revisions()
    await revisions.register(name, location, context.input.get("description", ""))
    return {}


async def get_application_revision(context: Context) -> Mapping[str, Any]:
    """GetApplicationRevision."""
    name = await _application(context)
    location = revision_from(context.input["revision"])
    found = await _known(context, name)
    if identity(location) not in found:
        raise ApiError("RevisionDoesNotExistException", f"The revision {location.label} does not exist.")
    one = found[identity(location)]
    return {"applicationName": name, "revision": _location(one), "revisionInfo": _info(one)}


async def batch_get_application_revisions(context: Context) -> Mapping[str, Any]:
    """BatchGetApplicationRevisions: unknown ones are named in `errorMessage`."""
    name = await _application(context)
    wanted = [revision_from(given) for given in context.input["revisions"]]
    if len(wanted) > MAX_BATCH_TARGETS:
        raise ApiError(
            "BatchLimitExceededException", f"At most {MAX_BATCH_TARGETS} revisions can be given in one call."
        )
    found = await _known(context, name)
    missing = [location.label for location in wanted if identity(location) not in found]
    shown = [found[identity(location)] for location in wanted if identity(location) in found]
    return {
        "applicationName": name,
        "errorMessage": f"Revisions not found: {', '.join(missing)}" if missing else None,
        "revisions": [{"revisionLocation": _location(one), "genericRevisionInfo": _info(one)} for one in shown],
    }


async def list_application_revisions(context: Context) -> Mapping[str, Any]:
    """ListApplicationRevisions."""
    given, name = context.input, await _application(context)
    by = _choice(SortBy, given.get("sortBy"), SortBy.REGISTER_TIME, "InvalidSortByException")
    order = given.get("sortOrder") or "ascending"
    if order not in ("ascending", "descending"):
        raise ApiError("InvalidSortOrderException", f"The sort order {order!r} is neither ascending nor descending.")
    deployed = _choice(Deployed, given.get("deployed"), Deployed.IGNORE, "InvalidDeployedStateFilterException")
    bucket, prefix = given.get("s3Bucket", ""), given.get("s3KeyPrefix", "")
    if prefix and not bucket:
        raise ApiError("BucketNameFilterRequiredException", "A key prefix needs a bucket name.")
    chosen = selected((await _known(context, name)).values(), bucket=bucket, key_prefix=prefix, deployed=deployed)
    descending = order == "descending"
    filters = ["revisions", name, by, order, deployed, bucket, prefix]
    found, token = page(
        in_order(chosen, by, descending=descending),
        given.get("nextToken"),
        lambda one: place_of(one, by),
        filters,
        descending=descending,
    )
    return {"revisions": [_location(one) for one in found], "nextToken": token}


async def _application(context: Context) -> str:
    name = str(context.input["applicationName"])
    context.authorize(context.arns.application(name))
    await application_record(context, name)
    return name


async def _known(context: Context, application: str) -> dict[str, Revision]:
    """The application's revisions, by identity."""
    revisions, uses = await context.backend.revisions(), await context.deployments.uses(application)
    return {identity(one.location): one for one in await revisions.of(application, uses)}


def _choice(kind: type[Choice], given: str | None, default: Choice, code: str) -> Choice:
    try:
        return kind(given) if given else default
    except ValueError:
        raise ApiError(code, f"{given!r} is none of {', '.join(kind)}.") from None


def _location(one: Revision) -> dict[str, Any]:
    return revision_shown(_plain(one.location))


def _plain(location: RevisionLocation) -> dict[str, Any]:
    return location.model_dump(mode="json", by_alias=True, exclude_none=True)


def _info(one: Revision) -> dict[str, Any]:
    return {
        "description": one.description,
        "deploymentGroups": list(one.groups),
        "firstUsedTime": one.first_used,
        "lastUsedTime": one.last_used,
        "registerTime": one.register_time,
    }


HANDLERS: Mapping[str, Handler] = {
    "RegisterApplicationRevision": register_application_revision,
    "GetApplicationRevision": get_application_revision,
    "BatchGetApplicationRevisions": batch_get_application_revisions,
    "ListApplicationRevisions": list_application_revisions,
}
