"""From command lines to requests: what is refused before anything is asked of Temporal, and what words mean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from temporalio.exceptions import ApplicationError, TerminatedError

import towline
from towline.cli import deploying, render
from towline.cli.main import cli, run
from towline.cli.rolling_back import undo_request
from towline.deployments.client import fingerprint, new_deployment_id
from towline.deployments.final_view import view_from_outside, view_of_failure
from towline.deployments.listing import Listed, the_active, the_only_one, visibility_query
from towline.errors import Conflict, InvalidInput, NotFound
from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.exit_status import exit_status
from towline.model.deployment.status import DeploymentStatus
from towline.model.deployment.view import deployment_info
from towline.model.messages import DeploymentView, DeployRequest, Progress

ROOT = Path(towline.__file__).parent.parent
NOWHERE = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}

BAD_LINES = [
    ("an unknown option", "deploy shop web --revision s3://b/k.tgz --canary", "No such option"),
    ("no revision", "deploy shop web", "--revision"),
    ("a revision of another kind", "deploy shop web --revision ftp://x/y", "s3://BUCKET/KEY"),
    ("a path that is not there", "deploy shop web --revision ./absent", "no such directory or archive"),
    ("an id that is no path", "deploy shop web --revision s3://b/k.tgz --id ../x", "is no deployment id"),
    ("an application name with a slash", "deploy a/b web --revision s3://b/k.tgz", "application_name"),
    ("if-busy of another word", "deploy shop web --revision s3://b/k.tgz --if-busy queue", "wait"),
    ("a status that CodeDeploy lacks", "list --status Done", "Succeeded"),
    ("a rollback that cannot ask", "rollback d-1", "--yes"),
    ("a port that is none", "up --port 70000", "70000"),
]


@pytest.mark.parametrize(("line", "says"), [row[1:] for row in BAD_LINES], ids=[row[0] for row in BAD_LINES])
def test_bad_usage_and_bad_input_exit_2_and_say_why(
    line: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOWHERE["TEMPORAL_ADDRESS"])
    assert run(line.split()) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "line",
    [
        "status d-1",
        "pause d-1",
        "resume d-1",
        "stop d-1",
        "rollback d-1 --yes",
        "logs d-1",
        "report d-1",
        "list",
        "deploy shop web --revision s3://b/k.tgz",
        "instances",
    ],
)
def test_without_temporal_every_command_says_so_and_exits_5(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOWHERE["TEMPORAL_ADDRESS"])
    assert run(line.split()) == 5
    assert "Temporal does not answer at 127.0.0.1:1.  Start one with: towline up" in capsys.readouterr().err


def test_a_worker_without_temporal_says_so_and_exits_5(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOWHERE["TEMPORAL_ADDRESS"])
    assert run(["worker"]) == 5
    assert "Temporal does not answer at 127.0.0.1:1.  Start one with: towline up" in caplog.text
    environ = {**os.environ, **NOWHERE}
    done = subprocess.run([sys.executable, str(ROOT / "worker.py")], env=environ, capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    assert "Temporal does not answer" in done.stderr


def test_every_command_has_help() -> None:
    for name in ("up", "worker", "deploy", "status", "list", "pause", "resume", "stop", "rollback", "logs", "report"):
        shown = CliRunner().invoke(cli, [name, "--help"])
        assert shown.exit_code == 0, shown.output


def test_ids_look_like_codedeploys() -> None:
    import re

    ids = {new_deployment_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("d-[A-Z0-9]{9}", one) for one in ids)


def request(**words: object) -> DeployRequest:
    location = RevisionLocation.parse("s3://b/k.tgz")
    given = {"application_name": "shop", "deployment_group_name": "web", "revision": location, **words}
    return DeployRequest(**given)  # type: ignore[arg-type]


def test_the_same_words_have_the_same_fingerprint_however_they_came() -> None:
    plain = {
        "applicationName": "shop",
        "deploymentGroupName": "web",
        "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k.tgz", "bundleType": "tgz"}},
        "ifBusy": "wait",
    }
    assert fingerprint(DeployRequest.model_validate(plain)) == fingerprint(request())
    assert fingerprint(request(description="x")) != fingerprint(request())


def test_a_report_tells_whether_it_is_of_the_same_words() -> None:
    pinned = RevisionLocation.parse("s3://b/k.tgz?versionId=7&etag=abc")
    info = deployment_info(
        request(),
        deployment_id="d-1",
        status=DeploymentStatus.SUCCEEDED,
        create_time="2025-01-01T00:00:00Z",
        revision=pinned,
    )
    assert deploying.same_words(info, request())
    assert not deploying.same_words(info, request(revision=RevisionLocation.parse("s3://b/k.tgz?versionId=8")))
    assert not deploying.same_words(info, request(description="other"))
    assert not deploying.same_words(info, request(deployment_group_name="other"))


def test_a_local_revision_is_packed_once_and_sent_once(tmp_path: Path) -> None:
    from towline.store import open_store

    bundle = tmp_path / "shop"
    bundle.mkdir()
    (bundle / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    store = open_store(str(tmp_path / "store"))
    first = deploying._send(store, bundle)
    assert deploying._send(store, bundle) == first
    assert first.label.startswith("shop (sha256 ")
    assert len(list(store.keys("revisions/"))) == 1


def listed(deployment_id: str, status: str, start: str, close: str = "") -> Listed:
    return Listed(deployment_id, "shop", "web", status, "", start, close)


CHOICES = [
    (
        "the one in progress, not the one that waits",
        [listed("d-2", "Queued", "2"), listed("d-1", "InProgress", "1")],
        "d-1",
    ),
    (
        "the rollback, not the one that waits for it",
        [listed("d-2", "InProgress", "2"), listed("d-1", "Failed", "1")],
        "d-2",
    ),
    (
        "an open one, not a newer closed one",
        [listed("d-2", "Succeeded", "2", "3"), listed("d-1", "Queued", "1")],
        "d-1",
    ),
    ("none where all have ended", [listed("d-2", "Failed", "2", "3"), listed("d-1", "Succeeded", "1", "2")], ""),
]


@pytest.mark.parametrize(("found", "means"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_which_deployment_of_a_group_is_the_active_one(found: list[Listed], means: str) -> None:
    assert the_active(found) == means


def test_a_beginning_must_be_unique() -> None:
    assert the_only_one("d-1", ["d-12"]) == "d-12"
    assert the_only_one("d-1", ["d-1", "d-12"]) == "d-1"
    with pytest.raises(Conflict, match="begins several deployments: d-12, d-13"):
        the_only_one("d-1", ["d-12", "d-13"])
    with pytest.raises(NotFound, match="towline list"):
        the_only_one("d-9", [])


def test_a_quote_does_not_get_into_the_query() -> None:
    with pytest.raises(InvalidInput):
        visibility_query(application="x' OR WorkflowType = 'y")
    assert (
        visibility_query(application="shop", with_refused=True)
        == "WorkflowType = 'Deployment' AND TowlineApplication = 'shop'"
    )


def test_an_undo_names_run_slots_and_who_failed() -> None:
    info = deployment_info(
        request(), deployment_id="d-1", status=DeploymentStatus.SUCCEEDED, create_time="t", config_name="three"
    )
    asked = undo_request(DeploymentView(info=info, progress=Progress(slots=3)), "d-1", "run-1", "d-2")
    assert asked.undo and (asked.undo.deployment_id, asked.undo.run_id, asked.undo.slots) == ("d-1", "run-1", 3)
    assert asked.deployment_config_name == "three"
    assert asked.description == "Rollback of d-1"


def test_durations_and_times_for_people() -> None:
    assert [render.duration(s) for s in (None, 0.04, 99.94, 185)] == ["", "0.0 s", "99.9 s", "3 min 05 s"]
    assert render.elapsed("2025-01-01T00:00:00Z", "2025-01-01T00:00:01.5+00:00") == 1.5
    assert render.elapsed("", "") is None


def test_a_deployment_that_was_terminated_can_still_be_named_and_taken_back() -> None:
    view = view_from_outside("d-1", TerminatedError("by hand"), request())
    assert view.info["status"] == "Stopped"
    assert view.info["applicationName"] == "shop"
    assert "by hand" in view.info["errorInformation"]["message"]
    assert exit_status(view) == 3


def test_a_failed_deployment_carries_its_view() -> None:
    told = DeploymentView(info={"status": "Failed", "deploymentId": "d-1"}, progress=Progress(is_whole=False))
    failed = ApplicationError("m", told.model_dump(mode="json"), type="DeploymentFailed")
    assert view_of_failure("d-1", failed) == told
