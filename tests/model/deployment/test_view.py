"""What people and programs see of a deployment: CodeDeploy's shapes, the reason, the summary, the end."""

import json

import pydantic_core
import pytest
from pydantic.alias_generators import to_camel

from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.describe import counts, failure_lines, status_reason
from towline.model.deployment.describe_end import end_message, rollback_result
from towline.model.deployment.info import DeploymentInfo, DeploymentOverview, ErrorInformation, RollbackInfo
from towline.model.deployment.report import DeploymentReport
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase, TargetStatus
from towline.model.deployment.target import TargetDetails, ended_target, live_target, plain_target
from towline.model.deployment.view import (
    location_of_label,
    rollback_messages,
    with_request,
)
from towline.model.deployment.web_ui import steering_page, summary
from towline.model.messages.deploy import DeployRequest, Undo
from towline.model.messages.instance import Fault, Heartbeat, InstanceOutcome, InstanceReport, LifecycleEventRecord
from towline.model.messages.view import DeploymentView, Progress, RollbackEnd

REQUEST = DeployRequest(
    application_name="shop",
    deployment_group_name="production",
    revision=RevisionLocation.parse("s3://b/shop.tgz?versionId=7"),
    description="the *new* till",
)
FAILURE = InstanceOutcome(
    instance="web-03",
    outcome=Outcome.FAILED,
    failed_event="AfterInstall",
    error_code=4,
    script="scripts/after.sh",
    message="Script at specified location: scripts/after.sh failed with exit code 1",
    log_tail="[stderr]one\n[stderr]```\n[stderr]\x1b[31mdisk full\n",
)

REASONS = [
    ("check", Progress(), "checks the request, the group and the revision"),
    ("turn", Progress(phase=Phase.TURN), "takes the group's turn"),
    ("queue", Progress(phase=Phase.TURN, behind=("d-X",)), "waits in the queue behind d-X"),
    (
        "slots",
        Progress(phase=Phase.ROLL_OUT, in_flight=("web-07",), slots=4, slots_in_use=3),
        "in flight: web-07; 3 of 4 slots in use, 2 kept by failed instances",
    ),
    (
        "many in flight",
        Progress(
            phase=Phase.ROLL_OUT,
            in_flight=tuple("abcdefghij"),
            in_flight_count=40,
            slots=50,
            slots_in_use=40,
            waiting=9,
        ),
        "in flight: a, b, c and 37 more; 40 of 50 slots in use",
    ),
    (
        "pausing",
        Progress(phase=Phase.ROLL_OUT, paused="pausing", in_flight=("web-04", "web-05", "web-06", "web-07")),
        "pausing, 4 in flight: web-04, web-05, web-06 and 1 more",
    ),
    ("paused", Progress(phase=Phase.ROLL_OUT, paused="paused", waiting=5), "paused; 5 waiting"),
    ("stopping", Progress(phase=Phase.ROLL_OUT, stopping=True, in_flight=("a",)), "stopping, 1 in flight: a"),
    (
        "our fault",
        Progress(phase=Phase.ROLL_OUT, blocked=Fault(code="OurFault", message="the bastion\ndoes not answer")),
        "paused: control-plane error: the bastion does not answer",
    ),
    ("zone", Progress(phase=Phase.ROLL_OUT, zone="b", waiting=3, slots=1), "zone b: 3 to go; 0 of 1 slots in use"),
    ("rollback", Progress(phase=Phase.ROLL_BACK), "waits for the rollback"),
    ("not restored", Progress(phase=Phase.ENDED, not_restored=("web-01",)), "ended; rollback incomplete on web-01"),
]


@pytest.mark.parametrize(("progress", "says"), [row[1:] for row in REASONS], ids=[row[0] for row in REASONS])
def test_the_reason_is_one_sentence(progress: Progress, says: str) -> None:
    assert status_reason(progress) == says


def info_of_a_failure() -> DeploymentInfo:
    info = DeploymentInfo(
        deployment_id="d-1",
        status=DeploymentStatus.FAILED,
        create_time="2025-01-01T00:00:00Z",
        start_time="2025-01-01T00:00:01Z",
        complete_time="2025-01-01T00:00:09Z",
        deployment_config_name="CodeDeployDefault.HalfAtATime",
        deployment_overview=DeploymentOverview(succeeded=3, failed=2, skipped=7),
        error_information=ErrorInformation(code="HEALTH_CONSTRAINTS", message="too many"),
        rollback_info=RollbackInfo(rollback_deployment_id="d-2", rollback_message=rollback_messages("d-1", "d-2")[0]),
        previous_revision=location_of_label("s3://b/shop.tgz?versionId=6"),
    )
    return with_request(info, REQUEST)


def test_deployment_info_has_the_shape_of_codedeploy() -> None:
    info = info_of_a_failure().as_json()
    assert info["deploymentOverview"] == {
        "Pending": 0,
        "InProgress": 0,
        "Succeeded": 3,
        "Failed": 2,
        "Skipped": 7,
        "Ready": 0,
    }
    assert info["revision"]["s3Location"] == {
        "bucket": "b",
        "key": "shop.tgz",
        "bundleType": "tgz",
        "version": "7",
    }
    assert info["previousRevision"]["s3Location"]["version"] == "6"
    assert info["rollbackInfo"] == {
        "rollbackDeploymentId": "d-2",
        "rollbackMessage": "Deployment d-1 terminated. Automatic rollback is triggered with a DeploymentId d-2.",
    }
    assert info["errorInformation"] == {"code": "HEALTH_CONSTRAINTS", "message": "too many"}


def test_every_name_of_deployment_info_is_one_that_codedeploy_has() -> None:
    import boto3

    client = boto3.client("codedeploy", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    try:
        shapes = client.meta.service_model
        assert set(info_of_a_failure().as_json()) <= set(shapes.shape_for("DeploymentInfo").members)
        target = shapes.shape_for("InstanceTarget").members
        report = InstanceReport(
            outcome=FAILURE,
            end_time="2025-01-01T00:00:05Z",
            events=(LifecycleEventRecord(name="AfterInstall", status="Failed", error_code=4),),
        )
        shown = ended_target("d-1", report).as_json()
        assert set(shown) <= set(target)
        events = shapes.shape_for("LifecycleEvent").members
        assert set(shown["lifecycleEvents"][0]) <= set(events)
        assert set(shown["lifecycleEvents"][0]["diagnostics"]) == set(shapes.shape_for("Diagnostics").members)
    finally:
        client.close()


def created(deployment_id: str) -> DeploymentInfo:
    return DeploymentInfo(deployment_id=deployment_id, status=DeploymentStatus.CREATED, create_time="t")


def test_what_is_not_known_yet_is_absent() -> None:
    info = with_request(created("d-1"), None).as_json()
    assert not {"deploymentOverview", "startTime", "errorInformation", "previousRevision", "revision"} & set(info)
    assert info["rollbackInfo"] == {}


def test_a_rollback_names_what_it_takes_back() -> None:
    undo = REQUEST.model_copy(update={"revision": None, "undo": Undo(deployment_id="d-1")})
    info = with_request(created("d-2"), undo).as_json()
    assert info["creator"] == "codeDeployRollback"
    assert info["rollbackInfo"] == {"rollbackTriggeringDeploymentId": "d-1"}


def test_a_target_in_flight_shows_where_it_is() -> None:
    heartbeat = Heartbeat(instance="web-01", phase="Install", since="2025-01-01T00:00:03Z")
    events = live_target("d-1", "web-01", heartbeat).lifecycle_events
    assert [event.status for event in events] == ["Succeeded"] * 3 + ["InProgress"] + ["Pending"] * 3
    connecting = live_target("d-1", "web-01", Heartbeat(instance="web-01", phase="connecting"))
    assert {event.status for event in connecting.lifecycle_events} == {"Pending"}


def test_a_skipped_target_has_skipped_events() -> None:
    shown = plain_target("d-1", "web-09", TargetStatus.SKIPPED)
    assert shown.status == "Skipped"
    assert {event.status for event in shown.lifecycle_events} == {"Skipped"}


def test_a_failed_event_has_its_diagnostics_and_a_good_one_empty_ones() -> None:
    report = InstanceReport(
        outcome=FAILURE,
        events=(
            LifecycleEventRecord(name="Install", status="Succeeded"),
            LifecycleEventRecord(
                name="AfterInstall", status="Failed", error_code=4, script="a.sh", message="m", log_tail="t"
            ),
            LifecycleEventRecord(name="ApplicationStart", status="Skipped", end_time="2025-01-01T00:00:05Z"),
        ),
    )
    good, bad, skipped = ended_target("d-1", report).as_json()["lifecycleEvents"]
    assert good["diagnostics"] == {"errorCode": "Success", "scriptName": "", "message": "Succeeded", "logTail": ""}
    assert bad["diagnostics"] == {"errorCode": "ScriptFailed", "scriptName": "a.sh", "message": "m", "logTail": "t"}
    assert "diagnostics" not in skipped
    assert "startTime" not in skipped


def view_of_a_failure() -> DeploymentView:
    progress = Progress(
        phase=Phase.ENDED, total=12, failures=(FAILURE,), not_restored=("web-03",), touched=5, is_whole=False
    )
    return DeploymentView(info=info_of_a_failure(), progress=progress)


def test_the_end_names_script_instance_and_last_lines() -> None:
    text = end_message(view_of_a_failure())
    assert "HEALTH_CONSTRAINTS" in text
    assert "web-03: AfterInstall failed in scripts/after.sh" in text
    assert "disk full" in text
    assert "\x1b" not in text
    assert "Rollback incomplete on web-03" in text


def test_the_summary_cannot_be_written_by_a_log() -> None:
    text = summary(view_of_a_failure())
    assert "````text" in text  # the log has a fence of three, so ours has four
    assert "\x1b" not in text
    assert "3 of 12 succeeded, 2 failed, 7 skipped" in text


def test_the_summary_tells_failures_of_one_cause_once_and_the_fate_at_the_end() -> None:
    alike = FAILURE.model_copy(update={"instance": "web-04"})
    other = FAILURE.model_copy(update={"instance": "web-05", "message": "no space left"})
    view = view_of_a_failure()
    view = view.model_copy(update={"progress": view.progress.model_copy(update={"failures": (FAILURE, alike, other)})})
    text = summary(view)
    assert text.count("````text") == 2
    assert "the same on web-04" in text
    assert "web-05: AfterInstall failed" in text
    assert "**Rollback incomplete on web-03.**" in text
    going = view.model_copy(update={"progress": view.progress.model_copy(update={"phase": Phase.ROLL_BACK})})
    assert "**Rollback incomplete" not in summary(going)


def test_the_summary_of_a_rollback_names_what_it_takes_back() -> None:
    rollback = RollbackInfo(rollback_triggering_deployment_id="d-1")
    info = DeploymentInfo(deployment_id="d-2", status=DeploymentStatus.IN_PROGRESS, rollback_info=rollback)
    assert "· InProgress · `rollback of d-1`" in summary(DeploymentView(info=info, progress=Progress()))


def test_the_page_that_does_not_change_says_how_to_steer() -> None:
    page = steering_page("d-1", "from *CI*")
    assert page.startswith("from \\*CI\\*\n")
    assert "- stop: `towline stop d-1`" in page


def test_counts_before_the_fleet_is_known() -> None:
    assert (
        counts(DeploymentInfo(deployment_id="d-1", status=DeploymentStatus.QUEUED), Progress())
        == "the instances are not known yet"
    )


def test_the_document_is_what_json_prints() -> None:
    failed = plain_target("d-1", "web-03", TargetStatus.FAILED)
    report = DeploymentReport(view_of_a_failure(), (failed,), {"web-03": TargetDetails(note="x")})
    shown = report.as_json()
    assert list(shown) == ["deploymentInfo", "deploymentTargets", "progress"]
    assert shown["deploymentTargets"][0]["deploymentTargetType"] == "InstanceTarget"
    assert shown["progress"]["slotsInUse"] == 0
    assert shown["progress"]["failures"][0]["failedEvent"] == "AfterInstall"
    assert shown["progress"]["instances"] == {"web-03": {"note": "x"}}
    assert DeploymentReport.read(json.dumps(shown)) == report


FATES = [
    ("Succeeded", Progress(touched=3), ""),
    ("InProgress", Progress(), ""),
    ("Failed", Progress(), "No instance was touched."),
    ("Failed", Progress(touched=3), "All changed instances were rolled back."),
    (
        "Stopped",
        Progress(touched=3, is_whole=False),
        "3 touched instances stay as they are. Take them back with: towline rollback d-1",
    ),
    ("Failed", Progress(touched=3, not_restored=("a", "b")), "Rollback incomplete on a, b."),
]


@pytest.mark.parametrize(("status", "progress", "says"), FATES)
def test_what_became_of_the_fleet(status: str, progress: Progress, says: str) -> None:
    info = DeploymentInfo(deployment_id="d-1", status=DeploymentStatus(status))
    assert rollback_result(DeploymentView(info=info, progress=progress)) == says


def test_failures_of_one_cause_are_told_together() -> None:
    others = [FAILURE.model_copy(update={"instance": f"web-0{n}"}) for n in (4, 5)]
    apart = FAILURE.model_copy(update={"instance": "web-09", "message": "another"})
    lines = failure_lines([FAILURE, *others, apart])
    assert "the same on web-04, web-05" in lines
    assert [line.split(":")[0] for line in lines if line.startswith("web-")] == ["web-03", "web-09"]


def test_names_of_one_cause_are_in_order_and_whole_at_eighty_columns() -> None:
    others = [FAILURE.model_copy(update={"instance": f"web-{n}.eu-central-1.example.com"}) for n in (19, 12, 11, 15)]
    first, *more = [line for line in failure_lines([FAILURE, *others]) if "example.com" in line]
    assert first.startswith("the same on web-11.eu-central-1.example.com, web-12.eu-central-1.example.com,")
    assert all(len(line) < 80 for line in (first, *more))
    assert " ".join(more).split() == ["web-15.eu-central-1.example.com,", "web-19.eu-central-1.example.com"]


def test_progress_is_read_back_from_what_users_see() -> None:
    fault = Fault(code="Unreachable", message="no route", hint="look")
    progress = view_of_a_failure().progress.model_copy(
        update={"in_flight_count": 3, "blocked": fault, "rollback": RollbackEnd(deployment_id="d-2", status="Failed")}
    )
    shown = progress.as_json()
    assert set(shown) == {to_camel(name) for name in Progress.model_fields}
    assert shown["rollback"]["deploymentId"] == "d-2"
    assert Progress.model_validate(shown) == progress
    assert Progress.model_validate(progress.model_dump(mode="json")) == progress, "as Temporal carries it"


def test_deployment_info_travels_in_the_shape_that_it_has_for_users() -> None:
    """Temporal's payloads and records have always had it so; workers of other versions read them."""
    view = view_of_a_failure()
    carried = json.loads(pydantic_core.to_json(view))
    assert carried["info"] == view.info.as_json()
    assert carried["progress"]["is_whole"] is False
    assert list(carried["info"])[:4] == [
        "applicationName",
        "deploymentGroupName",
        "deploymentConfigName",
        "deploymentId",
    ]
    assert DeploymentView.model_validate(carried) == view
    assert not [value for value in carried["info"].values() if value in (None, "")]
