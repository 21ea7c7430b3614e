"""On-premises instances: register, deregister, look at, list, tag.

An instance is the record that `apply` writes too, so groups select both by the same tags. What belongs to CodeDeploy's
registration alone (the ARN that the instance signs by, its times) is a record of its own, which outlives deregistering.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from towline.api.errors import ApiError
from towline.api.operations.writing import ATTEMPTS, contended, retried, write
from towline.api.paging import page
from towline.api.service import Context, Handler
from towline.catalogue.repository import CatalogueConflict
from towline.model.catalogue.records import Change, Record
from towline.model.fleet.instance import InstanceRecord
from towline.model.group.group import TagFilter

USER_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:user/[A-Za-z0-9/+=,.@_-]+")
SESSION_ARN = re.compile(r"arn:aws[a-z-]*:sts::[0-9]{12}:assumed-role/[A-Za-z0-9/+=,.@_-]+/[A-Za-z0-9+=,.@_-]+")
MOST_TAGS = 10
KEY_CHARACTERS, VALUE_CHARACTERS = 128, 256
STATUSES = ("Registered", "Deregistered")
SUFFIX = string.ascii_letters + string.digits


async def register_instance(context: Context) -> Mapping[str, Any]:
    """RegisterOnPremisesInstance: name and ARN are each claimed once, in one atomic batch."""
    name = context.input["instanceName"]
    context.authorize(context.arns.instance(name))
    member, arn = _identity(context.input)
    registration = {
        member: arn,
        "instanceArn": f"{context.arns.instance(name)}_{''.join(secrets.choice(SUFFIX) for _ in range(10))}",
        "registerTime": datetime.now(UTC).isoformat(),
    }
    version: int | None = None
    for _ in range(ATTEMPTS):
        changes = [
            Change(key=f"instance/{name}", value={"instanceName": name, "codedeployAgent": {}}),
            Change(key=f"arn/{arn}", value={"instanceName": name}),
            Change(key=f"registration/{name}", version=version, value=registration),
        ]
        try:
            await write(context, changes)
        except CatalogueConflict as conflict:
            former = _former_registration(conflict, name, member, arn)
            version = former.version if former else None
            continue
        return {}
    raise contended()


def _former_registration(conflict: CatalogueConflict, name: str, member: str, arn: str) -> Record | None:
    """The registration of a name that was deregistered, to be replaced; raises ApiError where name or ARN is taken."""
    refused = {refusal.key: refusal.current for refusal in conflict.refused}
    if f"instance/{name}" in refused:
        text = f"An instance with the name {name} is already registered"
        raise ApiError("InstanceNameAlreadyRegisteredException", text)
    if f"arn/{arn}" in refused:
        kind = "IamUser" if member == "iamUserArn" else "IamSession"
        raise ApiError(f"{kind}ArnAlreadyRegisteredException", f"The ARN {arn} is already registered with an instance")
    return refused.get(f"registration/{name}")


def _identity(given: Mapping[str, Any]) -> tuple[str, str]:
    """The member that names who the instance is, and the ARN."""
    user, session = given.get("iamUserArn"), given.get("iamSessionArn")
    if user and session:
        raise ApiError("MultipleIamArnsProvidedException", "Both an IAM user ARN and an IAM session ARN were given.")
    if not user and not session:
        raise ApiError("IamArnRequiredException", "An IAM user ARN or an IAM session ARN is required.")
    if user and not USER_ARN.fullmatch(user):
        raise ApiError("InvalidIamUserArnException", f"Iam User ARN {user} is not in a valid format")
    if session and not SESSION_ARN.fullmatch(session):
        raise ApiError("InvalidIamSessionArnException", f"Iam Session ARN {session} is not in a valid format")
    return ("iamUserArn", user) if user else ("iamSessionArn", str(session))


@retried
async def deregister_instance(context: Context) -> Mapping[str, Any]:
    """DeregisterOnPremisesInstance: its tags go, and no group selects it; one that is not registered is no error."""
    name = context.input["instanceName"]
    context.authorize(context.arns.instance(name))
    found = await _records(context, [name])
    if f"instance/{name}" not in found:
        return {}
    if f"registration/{name}" in found:
        found |= await context.catalogue.read([f"arn/{_arn_of(found[f'registration/{name}'].value)}"])
    await write(context, _removal(name, found))
    return {}


def _removal(name: str, found: Mapping[str, Record]) -> Iterable[Change]:
    """Removes all records of an instance, but keeps when it was registered and deregistered."""
    instance, registration = found[f"instance/{name}"], found.get(f"registration/{name}")
    for record in found.values():
        if record is not registration:
            yield Change(key=record.key, version=record.version)
    before = registration.value if registration else {"registerTime": instance.at}
    value = {**before, "deregisterTime": datetime.now(UTC).isoformat()}
    yield Change(key=f"registration/{name}", version=registration.version if registration else None, value=value)


async def get_instance(context: Context) -> Mapping[str, Any]:
    """GetOnPremisesInstance; one that was deregistered is shown with the time."""
    name = context.input["instanceName"]
    context.authorize(context.arns.instance(name))
    shown = _shown(context, name, await _records(context, [name]))
    if shown is None:
        raise _not_registered([name])
    return {"instanceInfo": shown}


async def batch_get_instances(context: Context) -> Mapping[str, Any]:
    """BatchGetOnPremisesInstances: unknown names are left out."""
    names = context.input["instanceNames"]
    context.authorize(*(context.arns.instance(name) for name in names))
    records = await _records(context, names)
    shown = (_shown(context, name, records) for name in dict.fromkeys(names))
    return {"instanceInfos": [info for info in shown if info]}


async def list_instances(context: Context) -> Mapping[str, Any]:
    """ListOnPremisesInstances: of one status or both, selected by tags."""
    context.authorize(context.arns.instance("*"))
    status, filters = context.input.get("registrationStatus"), context.input.get("tagFilters") or []
    if status and status not in STATUSES:
        text = f"The registration status {status!r} is not one of {', '.join(STATUSES)}"
        raise ApiError("InvalidRegistrationStatusException", text)
    wanted = [_filter(one) for one in filters]
    records = await context.catalogue.read_all("instance", "registration")
    names = sorted({key.partition("/")[2] for key in records})
    found = [name for name in names if _is_wanted(records.get(f"instance/{name}"), status, wanted)]
    shown, token = page(found, context.input.get("nextToken"), lambda name: name, ["instances", status, filters])
    return {"instanceNames": shown, "nextToken": token}


def _is_wanted(instance: Record | None, status: str | None, filters: Sequence[TagFilter]) -> bool:
    if status and status != STATUSES[instance is None]:
        return False
    tags = instance.value.get("tags", {}) if instance else {}
    return not filters or any(one.matches(tags) for one in filters)


def _filter(given: Mapping[str, Any]) -> TagFilter:
    try:
        return TagFilter.model_validate({name: value for name, value in given.items() if value})
    except ValueError:
        text = f"The type {given.get('Type')!r} of a tag filter is not KEY_ONLY, VALUE_ONLY or KEY_AND_VALUE"
        raise ApiError("InvalidTagFilterException", text) from None


# ── tags ──


async def add_tags(context: Context) -> Mapping[str, Any]:
    """AddTagsToOnPremisesInstances: a key that is there gets the new value. For all instances, or for none."""
    added = {tag["Key"]: tag["Value"] for tag in map(_checked_tag, context.input["tags"])}
    await _change_tags(context, lambda tags: {**tags, **added})
    return {}


async def remove_tags(context: Context) -> Mapping[str, Any]:
    """RemoveTagsFromOnPremisesInstances. For all instances, or for none."""
    removed = {tag.get("Key"): tag.get("Value") for tag in context.input["tags"]}

    def kept(tags: Mapping[str, str]) -> dict[str, str]:
        return {
            key: value for key, value in tags.items() if key not in removed or removed[key] not in (value, "", None)
        }

    await _change_tags(context, kept)
    return {}


@retried
async def _change_tags(context: Context, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    names = list(dict.fromkeys(context.input["instanceNames"]))
    context.authorize(*(context.arns.instance(name) for name in names))
    found = await context.catalogue.read(f"instance/{name}" for name in names)
    if missing := [name for name in names if f"instance/{name}" not in found]:
        raise _not_registered(missing)
    await write(context, [_with_tags(record, change(_tags_of(record))) for record in found.values()])


def _with_tags(record: Record, tags: Mapping[str, str]) -> Change:
    if len(tags) > MOST_TAGS:
        raise ApiError("TagLimitExceededException", f"An instance can have at most {MOST_TAGS} tags: {record.key[9:]}")
    return Change(key=record.key, version=record.version, value={**record.value, "tags": dict(tags)})


def _tags_of(record: Record) -> dict[str, str]:
    return InstanceRecord.model_validate(record.value).tags


def _checked_tag(tag: Mapping[str, Any]) -> Mapping[str, str]:
    key, value = tag.get("Key") or "", tag.get("Value") or ""
    if not key or not value or len(key) > KEY_CHARACTERS or len(value) > VALUE_CHARACTERS:
        text = f"A tag has a key of 1 to {KEY_CHARACTERS} and a value of 1 to {VALUE_CHARACTERS} characters"
        raise ApiError("InvalidTagException", text)
    return {"Key": key, "Value": value}


# ── inside ──


async def _records(context: Context, names: Sequence[str]) -> dict[str, Record]:
    return await context.catalogue.read(f"{kind}/{name}" for name in names for kind in ("instance", "registration"))


def _shown(context: Context, name: str, records: Mapping[str, Record]) -> dict[str, Any] | None:
    """CodeDeploy's InstanceInfo; None where there never was one. `tags` is always there: clients read it."""
    instance, registration = records.get(f"instance/{name}"), records.get(f"registration/{name}")
    if instance is None and registration is None:
        return None
    known = dict(registration.value) if registration else {}
    times = {"registerTime": known.pop("registerTime", instance.at if instance else "")}
    if instance is None:
        times["deregisterTime"] = known.pop("deregisterTime", "")
    tags = _tags_of(instance) if instance else {}
    return {
        "instanceName": name,
        "instanceArn": context.arns.instance(name),
        **{member: value for member, value in known.items() if member != "deregisterTime"},
        **{member: datetime.fromisoformat(time).timestamp() for member, time in times.items() if time},
        "tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def _arn_of(registration: Mapping[str, Any]) -> str:
    return str(registration.get("iamUserArn") or registration.get("iamSessionArn") or "")


def _not_registered(names: Sequence[str]) -> ApiError:
    return ApiError("InstanceNotRegisteredException", f"No on-premises instance is registered as: {', '.join(names)}")


HANDLERS: Mapping[str, Handler] = {
    "RegisterOnPremisesInstance": register_instance,
    "DeregisterOnPremisesInstance": deregister_instance,
    "GetOnPremisesInstance": get_instance,
    "BatchGetOnPremisesInstances": batch_get_instances,
    "ListOnPremisesInstances": list_instances,
    "AddTagsToOnPremisesInstances": add_tags,
    "RemoveTagsFromOnPremisesInstances": remove_tags,
}
