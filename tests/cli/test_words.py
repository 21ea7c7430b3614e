"""From command lines to requests: what is refused before anything is asked of Temporal, and what words mean."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.harness import ROOT
from towline.cli import render
from towline.cli.commands import cli
from towline.cli.main import run
from towline.deployments.ids import new_deployment_id

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


def test_durations_and_times_for_people() -> None:
    assert [render.duration(s) for s in (None, 0.04, 99.94, 185)] == ["", "0.0 s", "99.9 s", "3 min 05 s"]
    assert render.elapsed("2025-01-01T00:00:00Z", "2025-01-01T00:00:01.5+00:00") == 1.5
    assert render.elapsed("", "") is None
