"""validate and push as a person runs them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.harness.s3 import new_bucket, s3_server, use_aws
from towline.bundles.archive import read_archive
from towline.cli.main import run

APPSPEC = """version: 0.0
os: linux
files:
  - source: app
    destination: /srv/app
hooks:
  AfterInstall:
    - location: after.sh
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "app").mkdir(parents=True)
    (root / "app" / "x").write_text("x")
    (root / "after.sh").write_text("#!/bin/sh\n")
    (root / "appspec.yml").write_text(APPSPEC)
    return root


def test_a_good_bundle(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(app)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{app}/appspec.yml: no problems\n"


@pytest.mark.parametrize("name", ["h3Xk9aQ", "latest.tar", "appspec"])
def test_a_zip_is_told_by_its_content(app: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    archive = app.parent / name
    assert run(["push", str(app), str(archive), "--bundle-type", "zip"]) == 0
    assert run(["validate", str(archive)]) == 0
    assert f"{archive}/appspec.yml: no problems\n" in capsys.readouterr().err


def test_push_needs_to_know_which_kind_to_make(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in (str(app.parent / "h3Xk9aQ"), "s3://releases/h3Xk9aQ"):
        assert run(["push", str(app), target]) == 2
        assert "--bundle-type" in capsys.readouterr().err
    assert not (app.parent / "h3Xk9aQ").exists()


def test_warnings_are_told_and_strict_makes_errors_of_them(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "appspec.yml").write_text(
        APPSPEC.replace("AfterInstall", "AfterInstal").replace("destination: /", "destination: ")
    )
    assert run(["validate", str(app)]) == 0
    out, err = capsys.readouterr()
    assert out == (
        f"{app}/appspec.yml:5: warning: files[0].destination: 'srv/app' is not absolute: it is taken from the agent's "
        "working directory, /. Write 'destination: /srv/app' if that is meant\n"
        f"{app}/appspec.yml:7: warning: hooks.AfterInstal: no such lifecycle event: its scripts never run. "
        "Did you mean AfterInstall?\n"
    )
    assert err.endswith("2 warnings\n")
    assert run(["validate", "--strict", str(app)]) == 2
    assert "2 errors" in capsys.readouterr().err


def test_errors_are_exit_status_2(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "appspec.yml").write_text(APPSPEC.replace("0.0", "'0.0'"))
    assert run(["validate", str(app)]) == 2
    assert f"{app}/appspec.yml:1: error: version: must be the number 0.0" in capsys.readouterr().out
    (app / "appspec.yml").unlink()
    assert run(["validate", str(app)]) == 2
    assert "no appspec.yml" in capsys.readouterr().err
    assert run(["validate", str(app / "absent")]) == 2
    assert run(["validate", str(app / "absent.tgz")]) == 2


def test_what_is_wrong_with_the_bundle_is_told_beside_errors_of_the_appspec(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (app / "appspec.yml").write_text(APPSPEC.replace("0.0", "'0.0'").replace("after.sh", "gone.sh"))
    assert run(["validate", str(app)]) == 2
    out = capsys.readouterr().out
    assert "version: must be the number 0.0" in out
    assert "there is no gone.sh in the bundle" in out


def test_an_appspec_alone_says_that_it_was_alone(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "after.sh").unlink()
    assert run(["validate", str(app / "appspec.yml")]) == 0
    assert "the AppSpec alone" in capsys.readouterr().err
    assert run(["validate", str(app), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["valid"] is False
    assert answer["events"] == ["AfterInstall"]
    assert answer["problems"][0]["key"] == "hooks.AfterInstall[0].location"
    assert "there is no" in answer["problems"][0]["rule"]


def test_push_to_a_file_is_reproducible(app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.tgz", "two.tgz"):
        assert run(["push", str(app), str(tmp_path / name), "--json"]) == 0
    first, second = capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")
    assert json.loads(first)["sha256"] == json.loads(second)["sha256"]
    assert run(["validate", str(tmp_path / "one.tgz")]) == 0
    assert f"{tmp_path}/one.tgz/appspec.yml: no problems" in capsys.readouterr().err


def test_push_refuses_what_is_wrong(app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["push", str(app), str(tmp_path / "one.txt")]) == 2
    assert run(["push", str(app), "s3://bucket/key"]) == 2
    assert run(["push", str(app), "s3://bucket/key.tgz?versionId=3"]) == 2
    (app / "appspec.yml").write_text("version: 1\n")
    assert run(["push", str(app), str(tmp_path / "one.tgz")]) == 2
    assert "nothing was made" in capsys.readouterr().err
    assert not (tmp_path / "one.tgz").exists()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server() as address:
        use_aws(monkeypatch, address)
        yield new_bucket(address, versioned=True)


@pytest.mark.slow
def test_push_to_s3_prints_what_to_deploy(
    app: Path, tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(app), f"s3://{bucket}/apps/shop.zip"]) == 0
    out, err = capsys.readouterr()
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    url = boto3.client("s3").generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "apps/shop.zip"})
    with urllib.request.urlopen(url) as answer:
        (tmp_path / "got.zip").write_bytes(answer.read())
    assert read_archive(tmp_path / "got.zip", "zip").appspec == APPSPEC.encode()
    assert facts["revision"] == f"s3://{bucket}/apps/shop.zip?versionId={facts['version']}"
    assert f"--revision '{facts['revision']}'" in err
    assert len(facts["etag"]) == 32
