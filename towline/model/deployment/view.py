"""What a deployment looks like from outside, in CodeDeploy's shapes. Pure; words for people are in `describe.py`.

The Deployment workflow builds its view here; the client builds the instances' part from what
it reads (records in the store, heartbeats). Times are ISO 8601 text; who calls knows the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.causes import causes_of
from towline.model.deployment.lifecycle import IN_PLACE, events_for
from towline.model.deployment.status import Creator, DeploymentStatus, ScriptError, TargetStatus
from towline.model.messages import (
    DeploymentView,
    DeployRequest,
    Heartbeat,
    InstanceReport,
    LifecycleEventRecord,
)
from towline.model.names import rollback_label

OVERVIEW = ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
"""The buckets of a deploymentOverview; instances of unknown status are in none of them, as in CodeDeploy."""


# ── CodeDeploy's shapes ──────────────────────────────────────────────────────────────────────────────────────────


def deployment_info(
    request: DeployRequest | None,
    *,
    deployment_id: str,
    status: DeploymentStatus,
    create_time: str,
    start_time: str = "",
    complete_time: str = "",
    config_name: str = "",
    creator: Creator = Creator.USER,
    overview: Mapping[str, int] | None = None,
    error_code: str = "",
    error_message: str = "",
    rollback_deployment_id: str = "",
    rollback_message: str = "",
    triggering_deployment_id: str = "",
    revision: RevisionLocation | None = None,
    previous_revision: str = "",
    auto_rollback: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """CodeDeploy's DeploymentInfo as JSON: what is not known (yet) is absent, as there.

    Args:
        request: what was asked for; None where it could not even be read.
        deployment_id: its id.
        status: its status now.
        create_time: when it was accepted; `start_time`: when it began to deploy; `complete_time`: when it ended.
        config_name: the configuration in force (empty: the request's).
        creator: who started it.
        overview: counts by `OVERVIEW`; None before the instances are known.
        error_code: why it did not succeed, with `error_message`.
        rollback_deployment_id: on a failed or stopped one, the deployment that takes it back.
        rollback_message: CodeDeploy's sentence, see `rollback_messages`.
        triggering_deployment_id: on a rollback, the deployment that it takes back.
        revision: as resolved; else as given.
        previous_revision: label of what the group ran before; shown where a location can be read from it.
        auto_rollback: the autoRollbackConfiguration in force.

    Returns:
        A dict with CodeDeploy's names, ready for JSON.
    """
    location = revision or (request.revision if request else None)
    rollback = _present(
        rollbackDeploymentId=rollback_deployment_id,
        rollbackTriggeringDeploymentId=triggering_deployment_id,
        rollbackMessage=rollback_message,
    )
    info = _present(
        applicationName=request.application_name if request else "",
        deploymentGroupName=request.deployment_group_name if request else "",
        deploymentConfigName=config_name or (request.deployment_config_name if request else ""),
        deploymentId=deployment_id,
        previousRevision=_location_of_label(previous_revision),
        revision=_shape(location),
        status=status.value,
        errorInformation=_present(code=error_code, message=error_message),
        createTime=create_time,
        startTime=start_time,
        completeTime=complete_time,
        description=request.description if request else "",
        creator=creator.value,
    )
    if overview is not None:
        info["deploymentOverview"] = {bucket: overview.get(bucket, 0) for bucket in OVERVIEW}
    return info | {
        "ignoreApplicationStopFailures": bool(request and request.ignore_application_stop_failures),
        "autoRollbackConfiguration": dict(auto_rollback or {"enabled": False}),
        "updateOutdatedInstancesOnly": bool(request and request.update_outdated_instances_only),
        "rollbackInfo": rollback,
        "deploymentStyle": IN_PLACE.model_dump(mode="json", by_alias=True),
        "fileExistsBehavior": (request.file_exists_behavior if request else None) or "DISALLOW",
        "computePlatform": "Server",
    }


def rollback_messages(failed: str, rollback: str) -> tuple[str, str]:
    """CodeDeploy's two sentences: the one on the failed deployment, and the one on its rollback.

    >>> rollback_messages("d-X", "d-Y")[1]
    'Deployment d-Y is triggered to roll back deployment d-X.'
    """
    return (
        f"Deployment {failed} terminated. Automatic rollback is triggered with a DeploymentId {rollback}.",
        f"Deployment {rollback} is triggered to roll back deployment {failed}.",
    )


def ended_target(deployment_id: str, report: InstanceReport) -> dict[str, Any]:
    """CodeDeploy's InstanceTarget of an instance whose record is written."""
    return _target(
        deployment_id,
        report.outcome.instance,
        report.outcome.outcome.target_status.value,
        [_event(event) for event in report.events] or _unstarted_events(report.outcome.outcome.target_status.value),
        updated=report.end_time,
    )


def live_target(
    deployment_id: str, name: str, heartbeat: Heartbeat | None, events: Sequence[str] = events_for()
) -> dict[str, Any]:
    """The InstanceTarget of one in flight, from its last heartbeat (None: it has not sent one yet).

    A heartbeat names the event at work; those before it have ended, else it would not have come so far.
    """
    phase = heartbeat.phase if heartbeat else ""
    since = heartbeat.since if heartbeat else ""
    at = events.index(phase) if phase in events else -1
    shown = []
    for place, event in enumerate(events):
        if place < at:
            shown.append({"lifecycleEventName": event, "status": "Succeeded"})
        elif place == at:
            shown.append(_present(lifecycleEventName=event, status="InProgress", startTime=since))
        else:
            shown.append({"lifecycleEventName": event, "status": "Pending"})
    return _target(deployment_id, name, TargetStatus.IN_PROGRESS.value, shown, updated=since)


def plain_target(deployment_id: str, name: str, status: str, updated: str = "") -> dict[str, Any]:
    """The InstanceTarget of one of which only the status is known: not begun, skipped, or its record is lost."""
    return _target(deployment_id, name, status, _unstarted_events(status), updated=updated)


def diagnostics(event: LifecycleEventRecord) -> dict[str, str]:
    """CodeDeploy's Diagnostics: of a success it is there too, with empty strings.

    >>> diagnostics(LifecycleEventRecord(name="Install", status="Succeeded"))["errorCode"]
    'Success'
    """
    if event.status == "Succeeded":
        return {
            "errorCode": "Success",
            "scriptName": event.script,
            "message": event.message or "Succeeded",
            "logTail": event.log_tail,
        }
    return {
        "errorCode": error_name(event.error_code),
        "scriptName": event.script,
        "message": event.message,
        "logTail": event.log_tail,
    }


def error_name(number: int) -> str:
    """CodeDeploy's LifecycleErrorCode for the agent's number; 6 (output left open) and 7 (restarted) have no name of
    their own.

    >>> [error_name(n) for n in (3, 4, 6, 7)]
    ['ScriptTimedOut', 'ScriptFailed', 'ScriptFailed', 'UnknownError']
    """
    names = list(ScriptError)
    if number == 6:
        return ScriptError.SCRIPT_FAILED.value
    return (names[number] if 0 <= number < len(names) else ScriptError.UNKNOWN_ERROR).value


def document(
    view: DeploymentView, targets: Sequence[Mapping[str, Any]], instances: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `status --json` prints: the first two in CodeDeploy's shapes, `progress` ours.

    `instances` (ours, by name) is what CodeDeploy's shapes have no place for: outcome, address, note. `causes` tells
    why instances failed, each cause once.
    """
    progress = view.progress.as_json()
    if instances is not None:
        progress["instances"] = dict(instances)
        progress["causes"] = causes_of(targets, instances)
    return {
        "deploymentInfo": view.info,
        "deploymentTargets": [
            {"deploymentTargetType": "InstanceTarget", "instanceTarget": dict(target)} for target in targets
        ],
        "progress": progress,
    }


def label_of(revision: Mapping[str, Any] | None) -> str:
    """The label of a revision as it stands in a deploymentInfo; empty for None or what cannot be read."""
    if not revision:
        return ""
    try:
        return RevisionLocation.model_validate(revision).label
    except ValueError:
        return ""


def subject_of(info: Mapping[str, Any]) -> str:
    """What a deployment brings, in lists and headlines: its revision's label, or `rollback of d-1`."""
    undone = (info.get("rollbackInfo") or {}).get("rollbackTriggeringDeploymentId")
    return rollback_label(undone) if undone else label_of(info.get("revision"))


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _target(deployment_id: str, name: str, status: str, events: list[dict[str, Any]], updated: str) -> dict[str, Any]:
    return _present(
        deploymentId=deployment_id,
        targetId=name,
        status=status,
        lastUpdatedAt=updated,
        lifecycleEvents=events,
    )


def _event(event: LifecycleEventRecord) -> dict[str, Any]:
    shown = _present(
        lifecycleEventName=event.name, startTime=event.start_time, endTime=event.end_time, status=event.status
    )
    return shown | ({"diagnostics": diagnostics(event)} if event.status in ("Succeeded", "Failed") else {})


def _unstarted_events(status: str) -> list[dict[str, Any]]:
    word = {"Pending": "Pending", "InProgress": "Pending", "Skipped": "Skipped"}.get(status, "Unknown")
    return [{"lifecycleEventName": event, "status": word} for event in events_for()]


def _present(**fields: Any) -> dict[str, Any]:
    """Only what is there: absent is not the same as empty to CodeDeploy's clients."""
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _shape(location: RevisionLocation | None) -> dict[str, Any] | None:
    return location.model_dump(mode="json", by_alias=True, exclude_none=True) if location else None


def _location_of_label(label: str) -> dict[str, Any] | None:
    try:
        return _shape(RevisionLocation.parse(label)) if label else None
    except ValueError:
        return None  # a label of ours (a bundle in the store) is no location
