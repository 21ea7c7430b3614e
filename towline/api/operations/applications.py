"""Applications: create, look at, list, delete."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towline.api.errors import ApiError, not_supported
from towline.api.paging import page
from towline.api.service import Context, Handler, no_such_application
from towline.catalogue.client import CatalogueConflict
from towline.model.catalogue.records import Change, Record

_NAMESPACE = uuid.UUID("0f3b8e0a-5a8e-5b52-8f5e-7d4f0c6b2a11")


async def create_application(context: Context) -> Mapping[str, Any]:
    """CreateApplication. Lambda and ECS are refused."""
    name = context.input["applicationName"]
    context.authorize(context.arns.application(name))
    platform = context.input.get("computePlatform", "Server")
    if platform != "Server":
        raise not_supported(f"the compute platform {platform}: only Server")
    if context.input.get("tags"):
        raise not_supported("tags of applications")
    key = f"application/{name}"
    if key in await context.catalogue.read([key]):
        raise already_exists(name)
    change = Change(key=key, value={"applicationName": name})
    try:
        await context.catalogue.write([change])
    except CatalogueConflict:
        raise ApiError(
            "ApplicationAlreadyExistsException", f"An application with the name {name} already exists"
        ) from None
    return {"applicationId": _id_of(name)}


def already_exists(name: str) -> ApiError:
    """The error of a name that is taken."""
    return ApiError("ApplicationAlreadyExistsException", f"An application with the name {name} already exists")


async def get_application(context: Context) -> Mapping[str, Any]:
    """GetApplication."""
    name = context.input["applicationName"]
    context.authorize(context.arns.application(name))
    return {"application": _shown(await application_record(context, name))}


async def batch_get_applications(context: Context) -> Mapping[str, Any]:
    """BatchGetApplications: one unknown name fails the whole call."""
    names = context.input["applicationNames"]
    context.authorize(*(context.arns.application(name) for name in names))
    found = await context.catalogue.read(f"application/{name}" for name in names)
    if missing := [name for name in names if f"application/{name}" not in found]:
        raise ApiError("ApplicationDoesNotExistException", f"Applications not found for: {', '.join(missing)}")
    return {"applicationsInfo": [_shown(found[f"application/{name}"]) for name in names]}


async def list_applications(context: Context) -> Mapping[str, Any]:
    """ListApplications."""
    context.authorize(context.arns.application("*"))
    records = await context.catalogue.read_all("application")
    names = [key.removeprefix("application/") for key in records]
    found, token = page(names, context.input.get("nextToken"), lambda name: name, "applications")
    return {"applications": found, "nextToken": token}


async def application_record(context: Context, name: str) -> Record:
    """An application's record; raises ApiError."""
    key = f"application/{name}"
    found = (await context.catalogue.read([key])).get(key)
    if found is None:
        raise no_such_application(name)
    return found


def _shown(record: Record) -> dict[str, Any]:
    name = record.value["applicationName"]
    return {
        "applicationId": _id_of(name),
        "applicationName": name,
        "createTime": datetime.fromisoformat(record.at).timestamp() if record.at else 0.0,
        "linkedToGitHub": False,
        "computePlatform": "Server",
    }


def _id_of(name: str) -> str:
    """An application's id: stable, and made of its name."""
    return str(uuid.uuid5(_NAMESPACE, name))


HANDLERS: Mapping[str, Handler] = {
    "CreateApplication": create_application,
    "GetApplication": get_application,
    "BatchGetApplications": batch_get_applications,
    "ListApplications": list_applications,
}
