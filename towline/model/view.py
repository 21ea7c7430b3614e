"""What a deployment looks like from outside: CodeDeploy's shapes, and sentences for people. Pure.

The Deployment workflow builds its view and its Web UI summary here; the client builds the instances' part from what
it reads (records in the store, heartbeats). Times are ISO 8601 text; who calls knows the clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from towline.model.messages import (
    DeploymentView,
    DeployRequest,
    Heartbeat,
    InstanceOutcome,
    InstanceReport,
    LifecycleEventRecord,
    Progress,
)
from towline.model.revision import RevisionLocation
from towline.model.status import (
    IN_PLACE_EVENTS,
    Creator,
    DeploymentStatus,
    ScriptError,
    TargetStatus,
)

OVERVIEW = ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
"""The buckets of a deploymentOverview; instances of unknown status are in none of them, as in CodeDeploy."""

HEALTH_CONSTRAINTS_MESSAGE = (
    "The overall deployment failed because too many individual instances failed deployment, too few healthy instances "
    "are available for deployment, or some instances in your deployment group are experiencing problems."
)
"""CodeDeploy's own sentence: clients match on it."""

NAMED = 3  # how many names a sentence holds before it says "and 4 more"


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
        "deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"},
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
    deployment_id: str, name: str, heartbeat: Heartbeat | None, events: Sequence[str] = IN_PLACE_EVENTS
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

    `instances` (ours, by name) is what CodeDeploy's shapes have no place for: outcome, address, note.
    """
    progress = _camel(view.progress.model_dump(mode="json"))
    if instances is not None:
        progress["instances"] = dict(instances)
    return {
        "deploymentInfo": view.info,
        "deploymentTargets": [
            {"deploymentTargetType": "InstanceTarget", "instanceTarget": dict(target)} for target in targets
        ],
        "progress": progress,
    }


# ── sentences ────────────────────────────────────────────────────────────────────────────────────────────────────


def why(progress: Progress) -> str:
    """Why the deployment is where it is, in one sentence for people.

    >>> why(Progress(phase="roll out", in_flight=("web-07",), slots=4, slots_in_use=1))
    'waits for web-07; 1 of 4 slots in use'
    >>> why(Progress(phase="roll out", in_flight=("web-04", "web-05"), paused="pausing"))
    'pausing, 2 in flight: web-04, web-05'
    >>> why(Progress(phase="turn", behind=("d-X", "d-Y")))
    'waits in the queue behind d-X and 1 more'
    """
    if progress.phase == "ended":
        return f"ended; owed: {names(progress.owed)}" if progress.owed else "ended"
    if progress.phase == "turn" and progress.behind:
        return f"waits in the queue behind {names(progress.behind, named=1)}"
    if progress.stopping:
        return _with_flight("stopping", progress) or "stopping; nothing is in flight"
    if progress.blocked:
        return f"held by a fault on our side: {_one_line(progress.blocked.message)}"
    if progress.paused == "pausing":
        return _with_flight("pausing", progress) or "pausing"
    if progress.paused == "paused":
        return f"paused; {progress.waiting} waiting" if progress.waiting else "paused"
    return _PHASES.get(progress.phase) or _why_rolling(progress)


def summary(view: DeploymentView) -> str:
    """The Markdown of the Web UI: what it is, how far, why, and what failed with its last lines."""
    info, progress = view.info, view.progress
    where = f"{_escape(info.get('applicationName', '?'))} / {_escape(info.get('deploymentGroupName', '?'))}"
    lines = [
        f"**{where}** · {info.get('status', '')} · {_code(label_of(info.get('revision')) or 'no revision')}",
        "",
        counts(info, progress),
        "",
        _escape(progress.text or why(progress)),
    ]
    if error := info.get("errorInformation"):
        lines += ["", f"**{error.get('code', '')}**: {_escape(_one_line(error.get('message', '')))}"]
    rollback = info.get("rollbackInfo") or {}
    if message := rollback.get("rollbackMessage"):
        lines += ["", _escape(message)]
    for failure in progress.failures[:3]:
        lines += ["", f"- {_escape(failure_line(failure))}"]
        if failure.log_tail:
            lines += ["", _fenced(last_lines(failure.log_tail, 10))]
    if len(progress.failures) > 3:
        lines += ["", f"…and {len(progress.failures) - 3} more"]
    lines += [f"\n> {_escape(_one_line(warning))}" for warning in progress.warnings[:5]]
    return "\n".join(lines)


def end_message(view: DeploymentView) -> str:
    """How it ended, in words: what failed, on which instance, with its last lines, and what became of the fleet."""
    info, progress = view.info, view.progress
    error = info.get("errorInformation") or {}
    head = f"{info.get('status', '')}: {info.get('applicationName', '')}/{info.get('deploymentGroupName', '')}"
    lines = [f"{head} {info.get('deploymentId', '')}"]
    if error:
        lines[0] += f" ({error.get('code', '')}): {error.get('message', '')}"
    lines += failure_lines(progress.failures)
    if sentence := (info.get("rollbackInfo") or {}).get("rollbackMessage"):
        lines.append(sentence)
    if progress.owed:
        lines.append(f"Owed, to be seen to by a person: {names(progress.owed, named=10)}")
    return "\n".join(lines)


def failure_line(outcome: InstanceOutcome) -> str:
    """`web-03: AfterInstall failed in scripts/start.sh: exit 1`.

    >>> from towline.model.status import Outcome
    >>> failure_line(InstanceOutcome(instance="web-03", outcome=Outcome.UNREACHABLE, message="no route"))
    'web-03: unreachable: no route'
    """
    what = outcome.outcome.value
    if outcome.failed_event:
        what = f"{outcome.failed_event} {what}"
    if outcome.script:
        what += f" in {outcome.script}"
    message = outcome.message or (outcome.fault.message if outcome.fault else "")
    return f"{outcome.instance}: {what}" + (f": {_one_line(message)}" if message else "")


def failure_lines(failures: Sequence[InstanceOutcome], told: int = 3, tail: int = 5) -> list[str]:
    """Failures for people, each with the last lines of its log; those of one cause together."""
    alike: dict[tuple[str, ...], list[InstanceOutcome]] = {}
    for failure in failures:
        cause = (
            failure.outcome,
            failure.failed_event,
            failure.script,
            failure.message,
            last_lines(failure.log_tail, tail),
        )
        alike.setdefault(cause, []).append(failure)
    lines: list[str] = []
    for together in list(alike.values())[:told]:
        lines.append(failure_line(together[0]))
        lines += [f"    {line}" for line in last_lines(together[0].log_tail, tail).splitlines()]
        if others := [failure.instance for failure in together[1:]]:
            lines.append(f"the same on {names(others, named=10)}")
    if len(alike) > told:
        lines.append(f"…and {len(alike) - told} other causes")
    return lines


def counts(info: Mapping[str, Any], progress: Progress) -> str:
    """`7 of 12 succeeded, 1 failed, 2 in flight, 2 waiting`."""
    overview = info.get("deploymentOverview")
    if not overview:
        return "the instances are not known yet"
    total = progress.total or sum(overview.values())
    parts = [f"{overview.get('Succeeded', 0)} of {total} succeeded"]
    for bucket, word in (("Failed", "failed"), ("InProgress", "in flight"), ("Pending", "waiting")):
        if overview.get(bucket):
            parts.append(f"{overview[bucket]} {word}")
    if overview.get("Skipped"):
        parts.append(f"{overview['Skipped']} skipped")
    return ", ".join(parts)


def names(every: Sequence[str], count: int = 0, named: int = NAMED) -> str:
    """Some names of many: `web-01, web-02, web-03 and 4 more`; `count` where more exist than are given.

    >>> names(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    if not every:
        return ""
    more = max(count, len(every)) - min(len(every), named)
    return ", ".join(every[:named]) + (f" and {more} more" if more > 0 else "")


def label_of(revision: Mapping[str, Any] | None) -> str:
    """The label of a revision as it stands in a deploymentInfo; empty for None or what cannot be read."""
    if not revision:
        return ""
    try:
        return RevisionLocation.model_validate(revision).label
    except ValueError:
        return ""


def last_lines(text: str, count: int) -> str:
    """The last lines of a log tail, without control characters (a log must not steer a terminal).

    >>> last_lines("a\\nb\\x1b[31m\\nc\\n", 2)
    'b[31m\\nc'
    """
    kept = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")[-count:]
    return "\n".join(printable(line) for line in kept)


def printable(text: str) -> str:
    """One line without control characters and without what turns the writing direction."""
    return _CONTROL.sub("", text.replace("\t", "    "))


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_PHASES = {
    "check": "checks the request, the group and the revision",
    "turn": "takes the group's turn",
    "plan": "reads the fleet and its state",
    "compensate": "waits for the rollback",
    "record": "writes the report",
}


def _why_rolling(progress: Progress) -> str:
    where = f"zone {progress.zone}: " if progress.zone else ""
    flying = _flight_count(progress)
    kept = max(0, progress.slots_in_use - flying)
    slots = f"{progress.slots_in_use} of {progress.slots} slots in use" if progress.slots else ""
    if kept and slots:
        slots += f", {kept} kept by failed instances"
    waits = f"waits for {names(progress.in_flight, flying) or f'{flying} in flight'}" if flying else ""
    if not waits:
        waits = f"{progress.waiting} to go" if progress.waiting else "about to end"
    return where + "; ".join(part for part in (waits, slots) if part)


def _with_flight(word: str, progress: Progress) -> str:
    flying = _flight_count(progress)
    named = names(progress.in_flight, flying)
    return f"{word}, {flying} in flight" + (f": {named}" if named else "") if flying else ""


def _flight_count(progress: Progress) -> int:
    return max(progress.in_flight_count, len(progress.in_flight))


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
    return [{"lifecycleEventName": event, "status": word} for event in IN_PLACE_EVENTS]


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


def _camel(value: Any) -> Any:
    """Keys of our messages in the same style as CodeDeploy's; text and lists stay as they are."""
    if isinstance(value, dict):
        return {_camel_word(key): _camel(inner) for key, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


def _camel_word(word: str) -> str:
    head, *rest = word.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _escape(text: str) -> str:
    """Markdown that shows the text as it is, so that a log or a description cannot write the page."""
    return re.sub(r"([\\`*_\[\]<>#|~!])", r"\\\1", text)


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', chr(39))}`"


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
