"""From the words of `towline deploy` to a deployment that is watched: revision, request, start."""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from towline import errors
from towline.bundles.archive import Bundle
from towline.cli.door import Door, talk
from towline.cli.ending import Begun, Watched, announce, let_go_on_interrupt, watch_through
from towline.cli.output import is_news, result, result_json, say, warn
from towline.creator import who
from towline.deployments.client import new_deployment_id
from towline.deployments.past_revisions import past_revision
from towline.model import names
from towline.model.appspec.lint import lint_bundle
from towline.model.appspec.parser import parse_appspec
from towline.model.bundle.revision import BundleType, RevisionLocation
from towline.model.deployment.describe import printable
from towline.model.deployment.exit_status import exit_status
from towline.model.deployment.report import view_of_report
from towline.model.messages import DeployRequest
from towline.model.problem import Severity, bounded
from towline.store import Store


@dataclass(frozen=True)
class Wish:
    """What a person asked for; `words` are fields of a `DeployRequest`."""

    words: dict[str, Any]
    revision: str
    deployment_id: str | None
    only_plan: bool
    detach: bool
    as_json: bool
    patience: float
    bundle_type: BundleType | None = None


def deploy(wish: Wish) -> int:
    """Does it, and returns the exit status."""
    if wish.deployment_id is not None:
        check_id(wish.deployment_id)
    deployment_id = wish.deployment_id or new_deployment_id()
    watched = Watched(deployment_id, Begun.NO)
    location = parse_revision(wish.revision, wish.bundle_type)
    request_of(wish.words, location)  # before anything is packed or sent

    async def run(door: Door) -> int:
        request = request_of(wish.words, location or await _locate(door, wish))
        if wish.only_plan:
            from towline.cli.planning import show_plan

            return await show_plan(door, request, as_json=wish.as_json)
        if wish.deployment_id and (status := await _attach_to_record(door, request, deployment_id, wish)) is not None:
            return status
        return await start_and_watch(door, request, watched, wish)

    return let_go_on_interrupt(watched, lambda: talk(run))


async def start_and_watch(door: Door, request: DeployRequest, watched: Watched, wish: Wish) -> int:
    """Starts or attaches; then watches, unless it was asked to detach."""
    deployment_id = watched.deployment_id
    watched.begun = Begun.ASKED
    started = await door.deployments.start(request, deployment_id)
    watched.begun = Begun.YES
    announce(deployment_id, door.settings, attached=started.attached)
    if wish.detach:
        result(deployment_id)
        return 0
    return await watch_through(door, deployment_id, wish.as_json, wish.patience, is_new=not started.attached)


def parse_revision(text: str, bundle_type: BundleType | None = None) -> RevisionLocation | None:
    """The location that a revision's text names; None for a path, and for what the group may have had before.

    Raises InvalidInput, NotFound.
    """
    if re.match(r"[a-z0-9+.-]+://", text):
        try:
            location = RevisionLocation.parse(text)
        except ValueError as error:
            raise errors.InvalidInput(f"{error}.") from error
        return _with_type(location, bundle_type) if bundle_type else location
    if "/" in text and not _is_on_disk(text):  # without a slash it may be a deployment's id, a digest, a label
        raise errors.NotFound(
            f"revision {text!r}: there is no such directory or archive.",
            "The other forms are s3://BUCKET/KEY and github://OWNER/REPO@SHA",
        )
    return None


def _is_on_disk(revision: str) -> bool:
    return Path(revision).exists()


async def _locate(door: Door, wish: Wish) -> RevisionLocation:
    """The revision of a path, sent to the store, else one that the group has had before. Raises NotFound, Conflict."""
    if _is_on_disk(wish.revision):
        return await send(door, Path(wish.revision), wish.bundle_type)
    where = f"{wish.words['application_name']}/{wish.words['deployment_group_name']}"
    location = await past_revision(door.deployments, await door.records(), where, wish.revision)
    say(f"Revision of the group's history: {location.label}")
    return location


def _with_type(location: RevisionLocation, bundle_type: BundleType) -> RevisionLocation:
    if location.s3_location is None:
        raise errors.InvalidInput("GitHub's archives are always tgz.", "Leave --bundle-type out.")
    s3 = location.s3_location.model_copy(update={"bundle_type": bundle_type})
    return location.model_copy(update={"s3_location": s3})


def request_of(words: dict[str, Any], location: RevisionLocation | None) -> DeployRequest:
    """The request; without a location its other words are checked all the same. Raises InvalidInput."""
    try:
        asking = who()
        return DeployRequest(**words, revision=location, requested_by=asking.name, requested_from=asking.run)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise errors.InvalidInput(f"{key}: {first['msg']}.", "See: towline deploy --help") from error


def check_id(deployment_id: str) -> None:
    """Raises InvalidInput for an id that could not be a path on a host."""
    if not re.match(names.DEPLOYMENT_ID, deployment_id):
        raise errors.InvalidInput(
            f"{deployment_id!r} is no deployment id.", "Letters, digits, '.', '_' and '-', at most 64, no '.' in front."
        )


async def send(door: Door, path: Path, bundle_type: BundleType | None = None) -> RevisionLocation:
    """Packs a revision on disk and sends it to the store, unless it is there already."""
    return await asyncio.to_thread(_send, await door.store(), path, bundle_type)


def _send(store: Store, path: Path, bundle_type: BundleType | None = None) -> RevisionLocation:
    from towline.bundles.local import as_archive, location_of, read_local, revision_key

    tell_warnings(read_local(path, bundle_type))  # a hostile or broken archive stops here
    with tempfile.TemporaryDirectory(prefix="towline-") as folder:
        archive = as_archive(path, Path(folder), bundle_type)
        key = revision_key(archive.sha256, archive.bundle_type)
        if not store.exists(key):
            store.put_file(key, archive.path)
        return location_of(archive, path.resolve().name)


def tell_warnings(bundle: Bundle) -> None:
    """Tells, before anything is started, what the AppSpec of a bundle on this machine is warned of."""
    checked = parse_appspec(bundle.appspec, bundle.appspec_name)
    for problem in bounded([*checked.problems, *lint_bundle(checked, bundle.listing)]):
        if problem.severity is Severity.WARNING and is_news(str(problem)):
            warn(f"warning: {printable(str(problem))}")


async def _attach_to_record(door: Door, request: DeployRequest, deployment_id: str, wish: Wish) -> int | None:
    """The result of a deployment of this id that only the store remembers; None where there is none.

    Raises `Conflict` where it was asked for in other words.
    """
    if await door.deployments.is_known(deployment_id):
        return None
    records = await door.records_if_any()
    report = await asyncio.to_thread(records.report, deployment_id) if records else None
    if report is None:
        return None
    if not same_words(report["deploymentInfo"], request):
        raise errors.Conflict(
            f"deployment {deployment_id} exists and was asked for in other words.",
            f"See it with: towline report {deployment_id}   or leave --id out.",
        )
    say(f"{deployment_id} has ended already; this is its result.")
    if wish.as_json:
        result_json(await door.document(deployment_id))
    return int(exit_status(view_of_report(report)))


def same_words(info: dict[str, Any], request: DeployRequest) -> bool:
    """Whether a report's deploymentInfo is of this request, as far as a report tells.

    A report has the revision as it was pinned: a version, an ETag or a type that the request leaves open may be there.
    """
    told = RevisionLocation.model_validate(info["revision"]) if info.get("revision") else None
    asked = request.revision
    if told and asked and told.s3_location and asked.s3_location:
        left_open = {
            key: getattr(told.s3_location, key)
            for key in ("version", "e_tag", "bundle_type")
            if getattr(asked.s3_location, key) is None
        }
        asked = asked.model_copy(update={"s3_location": asked.s3_location.model_copy(update=left_open)})
    return told == asked and (
        info.get("applicationName"),
        info.get("deploymentGroupName"),
        info.get("description", ""),
        info.get("ignoreApplicationStopFailures", False),
    ) == (
        request.application_name,
        request.deployment_group_name,
        request.description,
        request.ignore_application_stop_failures,
    )
