"""Applications: create, look at, list, rename, delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towline.api.arns import Resource
from towline.api.errors import ApiError
from towline.api.operations.platforms import check_platform
from towline.api.operations.tags import tags_from, tags_key
from towline.api.operations.writing import retried, write, wrote
from towline.api.paging import page
from towline.api.service import Context, Handler, no_such_application
from towline.catalogue.repository import CatalogueConflict
from towline.model.catalogue.records import Change, Record, Unchanged
from towline.model.group.group import application_id, application_id_in, group_id_in


async def create_application(context: Context) -> Mapping[str, Any]:
    """CreateApplication. Lambda and ECS are refused."""
    name = context.input["applicationName"]
    context.authorize(context.arns.application(name))
    check_platform(context.input.get("computePlatform"))
    tags = tags_from(context.input.get("tags") or ())
    value = await _new_record(context, name)
    changes = [Change(key=f"application/{name}", value=value)]
    if tags:
        changes.append(Change(key=tags_key(Resource("application", name)), value={"tags": tags}))
    try:
        await write(context, changes)
    except CatalogueConflict:
        raise already_exists(name) from None
    return {"applicationId": value.get("applicationId") or application_id(name)}


async def _new_record(context: Context, name: str) -> dict[str, Any]:
    """With an id of its own where the one of this name belongs to an application that was renamed."""
    others = await context.catalogue.read_all("application")
    others.pop(f"application/{name}", None)
    taken = {application_id_in(record.value) for record in others.values()}
    spellings = (name, *(f"{name}#{number}" for number in range(2, len(taken) + 2)))  # no name has a "#"
    unused = next(one for spelling in spellings if (one := application_id(spelling)) not in taken)
    return {"applicationName": name} | ({"applicationId": unused} if unused != application_id(name) else {})


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


@retried
async def update_application(context: Context) -> Mapping[str, Any]:
    """UpdateApplication: another name, with all groups, whose ids stay. Deployments keep the name that they had."""
    name, new = context.input.get("applicationName", ""), context.input.get("newApplicationName", "")
    if not name:
        raise ApiError("ApplicationNameRequiredException", "The application name is required.")
    context.authorize(context.arns.application(name), context.arns.application(new or name))
    if not new or new == name:
        await application_record(context, name)
        return {}
    if taken := await context.catalogue.read([f"application/{new}"]):
        if wrote(context, taken[f"application/{new}"]):
            return {}
        raise already_exists(new)
    records, as_read = await _records_of(context, name)
    if f"application/{name}" not in records:
        raise no_such_application(name)
    await write(context, [change for one in records.values() for change in _renamed(one, new)], unchanged=[as_read])
    return {}


@retried
async def delete_application(context: Context) -> Mapping[str, Any]:
    """DeleteApplication, with its groups; one that does not exist is no error."""
    name = context.input["applicationName"]
    context.authorize(context.arns.application(name))
    records, as_read = await _records_of(context, name)
    if records:
        removed = [Change(key=key, version=record.version) for key, record in records.items()]
        await write(context, removed, unchanged=[as_read])
    return {}


async def application_record(context: Context, name: str) -> Record:
    """An application's record; raises ApiError."""
    key = f"application/{name}"
    found = (await context.catalogue.read([key])).get(key)
    if found is None:
        raise no_such_application(name)
    return found


async def _records_of(context: Context, name: str) -> tuple[dict[str, Record], Unchanged]:
    """The application's record, those of its groups, and their tags; and that no group came or went since."""
    every, version = await context.catalogue.read_at("application", "group", "tags")
    of_application = {key: record for key, record in every.items() if _is_of(key, name)}
    return of_application, Unchanged(prefix=f"group/{name}/", version=version)


def _is_of(key: str, application: str) -> bool:
    """Whether a record belongs to an application.

    >>> [_is_of(key, "shop") for key in ("application/shop", "tags/group/shop/qa", "group/shop2/qa")]
    [True, True, False]
    """
    kind, *rest = key.removeprefix("tags/").split("/")
    return kind in ("application", "group") and rest[0] == application


def _renamed(record: Record, new: str) -> list[Change]:
    """Removes a record under its old key, and writes it under that of the application's new name."""
    parts = record.key.split("/")
    kind, application, name = parts[0], parts[1], parts[-1]
    ids = {"deploymentGroupId": group_id_in(application, name, record.value)} if kind == "group" else {}
    parts[2 if kind == "tags" else 1] = new
    value = {**record.value, **ids}
    if "applicationName" in value:
        value["applicationName"] = new
    if record.key.startswith("application/"):
        value |= {"applicationId": application_id_in(record.value), "createTime": value.get("createTime", record.at)}
    return [Change(key=record.key, version=record.version), Change(key="/".join(parts), value=value)]


def _shown(record: Record) -> dict[str, Any]:
    created = record.value.get("createTime", record.at)
    return {
        "applicationId": application_id_in(record.value),
        "applicationName": record.value["applicationName"],
        "createTime": datetime.fromisoformat(created).timestamp() if created else 0.0,
        "linkedToGitHub": False,
        "computePlatform": "Server",
    }


HANDLERS: Mapping[str, Handler] = {
    "CreateApplication": create_application,
    "GetApplication": get_application,
    "BatchGetApplications": batch_get_applications,
    "ListApplications": list_applications,
    "UpdateApplication": update_application,
    "DeleteApplication": delete_application,
}
