"""The merged report: whose word counts, and where the timeline puts things."""

import pytest

from tests.harness.reports import invented
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.report import merge
from towline.model.deployment.status import Outcome
from towline.model.deployment.timeline import WIDTH, timeline
from towline.model.messages.view import DeploymentRecord, Progress


def test_the_report_reads_like_status_json() -> None:
    report = merge(*invented(12, failed=2, skipped=3)).as_json()
    assert list(report) == ["deploymentInfo", "deploymentTargets", "progress", "runId"]
    targets = {one["instanceTarget"]["targetId"]: one["instanceTarget"] for one in report["deploymentTargets"]}
    assert [targets[name]["status"] for name in ("web-001", "web-009", "web-012")] == ["Succeeded", "Failed", "Skipped"]
    assert report["progress"]["instances"]["web-001"]["address"] == "10.0.3.1"


def test_what_the_deployment_counted_weighs_more_than_an_instances_own_record() -> None:
    record, reports = invented(4, failed=1)
    results = {
        Outcome.ROLLED_BACK: ("web-001", "web-002"),
        Outcome.NOT_RESTORED: ("web-004",),
        Outcome.SUCCEEDED: ("web-003",),
    }
    report = merge(record.model_copy(update={"results": results}), reports)
    outcomes = {name: known.outcome for name, known in report.details.items()}
    assert outcomes == {
        "web-001": "rolled back",
        "web-002": "rolled back",
        "web-003": "succeeded",
        "web-004": "not restored",
    }
    # CodeDeploy's status stays how this deployment ended on it: a rollback is another deployment.
    assert report.targets[3].status == "Failed"


def test_a_lost_record_leaves_the_status() -> None:
    record, reports = invented(3, failed=0)
    del reports["web-002"]
    target = merge(record, reports).targets[1]
    assert target.status == "Succeeded"
    assert {event.status for event in target.lifecycle_events} == {"Unknown"}


def test_nobody_was_deployed_to() -> None:
    record = DeploymentRecord(info=DeploymentInfo(deployment_id="d-1", status="Failed"), progress=Progress())
    assert timeline(merge(record, {})).rows == ()


def test_the_timeline_keeps_order_and_stays_inside() -> None:
    lines = timeline(merge(*invented(40, failed=3, skipped=5, at_once=8)))
    assert len(lines.rows) == 40
    for row in lines.rows:
        assert all(0 <= s.x <= WIDTH and s.x + s.width <= WIDTH + 1.5 for s in row.segments)
        assert [s.x for s in row.segments] == sorted(s.x for s in row.segments)
    assert lines.rows[39].segments == ()
    assert [row.name for row in lines.rows if row.needs_attention] == ["web-033", "web-034", "web-035"]
    assert lines.marks[0] == (0.0, 0.0)


@pytest.mark.parametrize("time", ["", "yesterday"])
def test_a_time_that_cannot_be_read_breaks_nothing(time: str) -> None:
    record, reports = invented(1, failed=0)
    event = reports["web-001"].events[0].model_copy(update={"start_time": time})
    reports["web-001"] = reports["web-001"].model_copy(update={"events": (event,)})
    assert timeline(merge(record, reports)).rows[0].segments == ()
