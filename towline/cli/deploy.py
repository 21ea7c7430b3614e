"""The work of `towline deploy`: revision, request, start, watch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from towline import errors
from towline.cli.event_loop import with_client
from towline.cli.options import PATIENCE_SECONDS
from towline.cli.output import info, is_news, result, result_json, warn
from towline.cli.watch import Begun, Watched, announce, let_go_on_interrupt, watch_through
from towline.creator import who
from towline.deployments.ids import check_deployment_id, new_deployment_id
from towline.deployments.revisions import is_on_disk, parse_revision
from towline.deployments.service import DeploymentService
from towline.model.bundle.revision import BundleType, RevisionLocation
from towline.model.deployment.describe import printable
from towline.model.deployment.exit_status import exit_status
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.view import DeploymentView
from towline.settings import read_settings


@dataclass(frozen=True)
class DeployOptions:
    """The arguments and options of `towline deploy`."""

    application: str
    group: str
    revision: str
    bundle_type: BundleType | None = None
    config: str | None = None
    deployment_id: str | None = None
    description: str = ""
    if_busy: str = "wait"
    strict: bool = False
    only_plan: bool = False
    detach: bool = False
    as_json: bool = False
    ignore_application_stop_failures: bool = False
    file_exists_behavior: str | None = None
    patience: float = PATIENCE_SECONDS


def deploy(options: DeployOptions) -> int:
    """Starts the deployment, watches it, and returns its exit status."""
    if options.deployment_id is not None:
        check_deployment_id(options.deployment_id)
    deployment_id = options.deployment_id or new_deployment_id()
    watched = Watched(deployment_id, Begun.NO)
    location = parse_revision(options.revision, options.bundle_type)
    request_of(options, location)  # before anything is packed or sent

    async def run(service: DeploymentService) -> int:
        revision = location or await _locate(service, options)
        request = request_of(options, revision)
        if options.only_plan:
            from towline.cli.preview import show_preview

            return await show_preview(service, request, as_json=options.as_json)
        if options.deployment_id and not await service.exists(deployment_id):
            recorded = await service.recorded_result(request, deployment_id)
            if recorded:
                return await _show_recorded(service, deployment_id, recorded, as_json=options.as_json)
        return await start_and_watch(
            service, request, watched, detach=options.detach, as_json=options.as_json, patience=options.patience
        )

    return let_go_on_interrupt(watched, lambda: with_client(run))


async def start_and_watch(
    service: DeploymentService,
    request: DeployRequest,
    watched: Watched,
    *,
    detach: bool,
    as_json: bool,
    patience: float = PATIENCE_SECONDS,
) -> int:
    """Starts or attaches; then watches, unless `detach`. Returns the exit status."""
    deployment_id = watched.deployment_id
    watched.begun = Begun.ASKED
    started = await service.start(request, deployment_id)
    watched.begun = Begun.YES
    announce(deployment_id, read_settings(), attached=started.attached)
    if detach:
        result(deployment_id)
        return 0
    return await watch_through(service, deployment_id, as_json, patience, is_new=not started.attached)


def request_of(options: DeployOptions, location: RevisionLocation | None) -> DeployRequest:
    """The request; without a location its other members are checked all the same. Raises InvalidInput."""
    try:
        asking = who()
        return DeployRequest(
            application_name=options.application,
            deployment_group_name=options.group,
            deployment_config_name=options.config,
            revision=location,
            description=options.description,
            if_busy=options.if_busy,
            strict=options.strict,
            ignore_application_stop_failures=options.ignore_application_stop_failures,
            file_exists_behavior=options.file_exists_behavior,
            requested_by=asking.name,
            requested_from=asking.run,
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise errors.InvalidInput(f"{key}: {first['msg']}.", "See: towline deploy --help") from error


async def _locate(service: DeploymentService, options: DeployOptions) -> RevisionLocation:
    """The revision of a path, sent to the store, else one that the group has had before. Raises NotFound, Conflict."""
    if is_on_disk(options.revision):
        return await _upload(service, Path(options.revision), options.bundle_type)
    location = await service.past_revision(f"{options.application}/{options.group}", options.revision)
    info(f"Revision of the group's history: {location.label}")
    return location


async def _upload(service: DeploymentService, path: Path, bundle_type: BundleType | None) -> RevisionLocation:
    """Sends a revision on this machine to the store; its warnings are printed before anything is started."""
    uploaded = await service.upload_revision(path, bundle_type)
    for problem in uploaded.warnings:
        if is_news(str(problem)):
            warn(f"warning: {printable(str(problem))}")
    return uploaded.location


async def _show_recorded(service: DeploymentService, deployment_id: str, view: DeploymentView, *, as_json: bool) -> int:
    info(f"{deployment_id} has ended already; this is its result.")
    if as_json:
        result_json((await service.full_report(deployment_id)).as_json())
    return int(exit_status(view))
