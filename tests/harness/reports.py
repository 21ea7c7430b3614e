"""Records of an invented deployment, for tests of the report and for looking at its page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.ending import HEALTH_CONSTRAINTS_MESSAGE
from towline.model.deployment.info import DeploymentInfo, DeploymentOverview, ErrorInformation, RollbackInfo
from towline.model.deployment.lifecycle import events_for
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase
from towline.model.deployment.view import location_of_label, rollback_messages, with_request
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.instance import InstanceOutcome, InstanceReport, LifecycleEventRecord
from towline.model.messages.view import DeploymentRecord, Progress

START = datetime(2025, 1, 1, 10, 0, 0, tzinfo=UTC)
HOSTILE = '</pre><script>alert(1)</script>\x1b[31m"><img src=x onerror=alert(2)>&amp;\u202e'


def invented(
    hosts: int, failed: int = 2, skipped: int = 0, at_once: int = 4
) -> tuple[DeploymentRecord, dict[str, InstanceReport]]:
    """A failed rollout over `hosts` instances, `at_once` at a time, and the records that they left."""
    names = [f"web-{n:03d}" for n in range(1, hosts + 1)]
    begun = names[: hosts - skipped]
    bad = set(begun[-failed:]) if failed else set()
    reports = {name: _report(name, 3.0 * (place // at_once), name in bad) for place, name in enumerate(begun)}
    results = {
        Outcome.SUCCEEDED: tuple(n for n in begun if n not in bad),
        Outcome.FAILED: tuple(n for n in begun if n in bad),
        Outcome.SKIPPED: tuple(names[len(begun) :]),
    }
    request = DeployRequest(
        application_name="shop",
        deployment_group_name="production",
        revision=RevisionLocation.parse("s3://releases/shop-1.8.tgz?versionId=7"),
        description="The new till",
    )
    info = DeploymentInfo(
        deployment_id="d-75I7MBT7C",
        status=DeploymentStatus.FAILED if failed else DeploymentStatus.SUCCEEDED,
        create_time=_iso(-1),
        start_time=_iso(0),
        complete_time=_iso(3.0 * (hosts // at_once + 1)),
        deployment_config_name="CodeDeployDefault.HalfAtATime",
        deployment_overview=DeploymentOverview(succeeded=len(begun) - len(bad), failed=len(bad), skipped=skipped),
        error_information=ErrorInformation(code="HEALTH_CONSTRAINTS", message=HEALTH_CONSTRAINTS_MESSAGE)
        if failed
        else None,
        rollback_info=RollbackInfo(
            rollback_deployment_id="d-ROLLBACK1", rollback_message=rollback_messages("d-75I7MBT7C", "d-ROLLBACK1")[0]
        )
        if failed
        else RollbackInfo(),
        previous_revision=location_of_label("s3://releases/shop-1.7.tgz?versionId=6"),
    )
    progress = Progress(
        phase=Phase.ENDED, total=hosts, slots=at_once, minimum_healthy=hosts - at_once, touched=len(begun)
    )
    record = DeploymentRecord(
        info=with_request(info, request), progress=progress, run_id="r", members=tuple(names), results=results
    )
    return record, reports


def _report(name: str, at: float, is_bad: bool) -> InstanceReport:
    events = []
    for place, event in enumerate(events_for()):
        took = (0.1, 0.4, 0.05, 0.6, 0.3, 0.9, 0.4)[place]
        start, at = at, at + took
        fails = is_bad and event == "AfterInstall"
        events.append(
            LifecycleEventRecord(
                name=event,
                status="Failed" if fails else "Succeeded",
                start_time=_iso(start),
                end_time=_iso(at),
                error_code=4 if fails else 0,
                script="scripts/after.sh" if fails else "",
                message="Script at specified location: scripts/after.sh failed with exit code 3" if fails else "",
                log_tail=f"[stdout]migrating\n[stderr]{HOSTILE}\n[stderr]no space left on device\n" if fails else "",
            )
        )
        if fails:
            rest = events_for()[place + 1 :]
            events += [LifecycleEventRecord(name=late, status="Skipped", end_time=_iso(at)) for late in rest]
            break
    outcome = InstanceOutcome(
        instance=name,
        outcome=Outcome.FAILED if is_bad else Outcome.SUCCEEDED,
        was_touched=True,
        failed_event="AfterInstall" if is_bad else "",
        script="scripts/after.sh" if is_bad else "",
        message="exit code 3" if is_bad else "",
    )
    return InstanceReport(
        outcome=outcome,
        address=f"10.0.3.{int(name[-3:]) % 250}",
        zone="ab"[int(name[-3:]) % 2],
        start_time=events[0].start_time,
        end_time=_iso(at),
        events=tuple(events),
    )


def _iso(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()
