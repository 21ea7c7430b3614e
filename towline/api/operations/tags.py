"""Tags of applications, deployment groups and configurations: a record beside the resource's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towline.api.arns import Resource, parse_arn
from towline.api.errors import ApiError
from towline.api.operations.writing import retried, write
from towline.api.service import Context, Handler
from towline.model.catalogue.records import Change
from towline.model.group.config import PREDEFINED

MOST_TAGS = 50
MAX_KEY, MAX_VALUE = 128, 256
KINDS = {"application": "application", "deploymentgroup": "group", "deploymentconfig": "config"}
ABSENT = {
    "application": "ApplicationDoesNotExistException",
    "deploymentgroup": "DeploymentGroupDoesNotExistException",
    "deploymentconfig": "DeploymentConfigDoesNotExistException",
}


async def tag_resource(context: Context) -> Mapping[str, Any]:
    """TagResource: adds tags, or gives those that are there another value."""
    given = tags_from(context.input["Tags"])
    if not given:
        raise ApiError("TagRequiredException", "At least one tag is required.")
    await _change(context, lambda tags: {**tags, **given})
    return {}


async def untag_resource(context: Context) -> Mapping[str, Any]:
    """UntagResource: keys that are not there are ignored."""
    keys = set(context.input["TagKeys"])
    if not keys:
        raise ApiError("TagRequiredException", "At least one tag key is required.")
    await _change(context, lambda tags: {key: value for key, value in tags.items() if key not in keys})
    return {}


async def list_tags(context: Context) -> Mapping[str, Any]:
    """ListTagsForResource."""
    resource = await _resource(context)
    found = (await context.catalogue.read([tags_key(resource)])).get(tags_key(resource))
    tags = found.value["tags"] if found else {}
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_from(given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Tags by key. Raises ApiError (InvalidTagsToAddException)."""
    tags: dict[str, str] = {}
    for one in given:
        key, value = one.get("Key", ""), one.get("Value", "")
        if not key or len(key) > MAX_KEY or len(value) > MAX_VALUE or key.lower().startswith("aws:"):
            text = f"A tag has a key of 1 to {MAX_KEY} characters, not beginning with aws:, and a value of at most "
            raise ApiError("InvalidTagsToAddException", f"{text}{MAX_VALUE}: {key[:MAX_KEY]!r}")
        if key in tags:
            raise ApiError("InvalidTagsToAddException", f"The tag key {key!r} is given twice.")
        tags[key] = value
    if len(tags) > MOST_TAGS:
        raise ApiError("InvalidTagsToAddException", f"A resource has at most {MOST_TAGS} tags.")
    return tags


def tags_key(resource: Resource) -> str:
    """The key of the record that holds a resource's tags."""
    return f"tags/{KINDS[resource.kind]}/{resource.name}"


@retried
async def _change(context: Context, change: Any) -> None:
    resource = await _resource(context)
    key = tags_key(resource)
    found = (await context.catalogue.read([key])).get(key)
    tags = tags_from([{"Key": name, "Value": value} for name, value in change(_tags(found)).items()])
    if tags or found:
        version = found.version if found else None
        value = {"tags": tags} if tags else None
        await write(context, [Change(key=key, version=version, value=value)], exists=_exists(resource))


def _tags(found: Any) -> dict[str, str]:
    return dict(found.value["tags"]) if found else {}


def _exists(resource: Resource) -> list[str]:
    return [] if resource.name in PREDEFINED else [f"{KINDS[resource.kind]}/{resource.name}"]


async def _resource(context: Context) -> Resource:
    """What the call's ARN names; raises ApiError where the caller may not, or it does not exist."""
    text = context.input["ResourceArn"]
    resource = parse_arn(text)
    context.authorize(context.arns.resource(resource))
    keys = _exists(resource)
    if keys and not await context.catalogue.read(keys):
        raise ApiError(ABSENT[resource.kind], f"{text} does not exist.")
    return resource


HANDLERS: Mapping[str, Handler] = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags,
}
