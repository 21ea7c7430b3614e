"""The scripts of `deploy/` run as they are: against a real Temporal, a worker, and an S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
import yaml

from tests.harness import ROOT
from tests.harness.s3 import aws_environ, s3_server
from tests.harness.site import Done, Site, running_site
from tests.harness.temporal import TemporalServer, eventually, temporal_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DEPLOY = ROOT / "deploy"
BUCKET = "example-releases"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A worker, S3 with the samples' bucket, and the samples' group of local instances."""
    with s3_server() as address:
        environ = aws_environ(address)
        s3: Any = boto3.client(
            "s3", endpoint_url=address, aws_access_key_id="t", aws_secret_access_key="t", region_name="eu-west-1"
        )
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        async with running_site(temporal, tmp_path_factory.mktemp("ci"), **environ) as site:
            bin_folder = site.folder / "bin"
            bin_folder.mkdir()
            (bin_folder / "temporal").symlink_to(temporal_binary())
            (bin_folder / "towline").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m towline "$@"\n')
            (bin_folder / "towline").chmod(0o755)
            site.environ["PATH"] = f"{bin_folder}:{site.environ['PATH']}"
            await site.declare("shop", "production")
            yield site


async def shell(site: Site, lines: list[str], environ: dict[str, str], cwd: Path | None = None) -> Done:
    """Runs lines one after the other, as a CI runner does, to the first that fails."""
    script = "set -e\n" + "\n".join(lines)
    return await site.run("bash", "-c", script, folder=cwd, environ=environ)


def environ_of(variables: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """A job's variables with `$NAME` and `${{ … }}` filled in."""
    told = dict(given)
    for name, value in variables.items():
        for key in sorted(given, key=len, reverse=True):
            value = value.replace(f"${key}", given[key]).replace("${{ " + key + " }}", given[key])
        if "$" not in value:
            told[name] = value
    return told


async def test_the_github_sample_bundles_uploads_and_rolls_out(site: Site) -> None:
    job = yaml.safe_load((DEPLOY / "ci/github-actions.yml").read_text())["jobs"]["deploy"]
    given = {"github.sha": "1a2b3c4", "github.run_id": "77", "github.run_attempt": "1"}
    environ = environ_of(job["env"], given) | {"GITHUB_SHA": "1a2b3c4"}
    steps = [step["run"] for step in job["steps"] if "run" in step and "if" not in step]
    assert steps[0] == 'pip install "$WHEEL_URL"'  # tests/test_packaging.py runs it
    done = await shell(site, steps[1:], environ, cwd=site.bundle("gh"))
    assert done.status == 0, done.err
    assert "d-gh-77-1  shop/production  Succeeded" in done.out
    assert (site.root("production-1") / "srv/shop/index.html").read_text() == "gh\n"
    after = {step.get("if"): step["run"] for step in job["steps"] if "if" in step}
    assert (await shell(site, [after["${{ !success() }}"]], environ)).status == 0
    assert "has ended already" in (await shell(site, [after["cancelled()"]], environ)).err


async def test_the_gitlab_sample_starts_waits_and_stops(site: Site) -> None:
    job = yaml.safe_load((DEPLOY / "ci/gitlab-ci.yml").read_text())["deploy"]
    environ = environ_of(job["variables"], {"CI_COMMIT_SHA": "5e6f7a8", "CI_JOB_ID": "88"})
    pushed = await site.towline("push", str(site.bundle("gl")), f"s3://{BUCKET}/{environ['KEY']}")
    assert pushed.status == 0, pushed.err
    done = await shell(site, job["script"], environ)
    assert done.status == 0, done.out + done.err
    assert (site.root("production-2") / "srv/shop/index.html").read_text() == "gl\n"
    again = await shell(site, job["script"], environ)
    assert again.status == 0, "the same id attaches to what was"
    runs = (await site.temporal("workflow", "list", "--query", "WorkflowId='d-gl-88'", "-o", "json")).json
    assert len(runs) == 1

    await site.declare("shop", "slow", fake={"seconds": 60})
    other = environ | {"GROUP": "slow", "DEPLOYMENT_ID": "d-gl-89"}
    assert (await shell(site, job["script"][:2], other)).status == 0
    ended = await shell(site, [*job["after_script"]], other | {"CI_JOB_STATUS": "canceled"})
    assert ended.status == 0, ended.err
    waited = await shell(site, job["script"][2:], other)
    assert waited.status != 0
    assert "Stopped: shop/slow d-gl-89" in waited.out
    kept = await shell(site, [*job["after_script"]], other | {"CI_JOB_STATUS": "success"})
    assert kept.status == 0


async def test_the_administrators_script_may_be_run_again(temporal: TemporalServer, site: Site) -> None:
    namespace = f"admin-{site.client.namespace}"
    environ = site.environ | {"TEMPORAL_NAMESPACE": namespace}
    for _ in range(2):
        done = subprocess.run([str(DEPLOY / "temporal-setup.sh")], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{namespace} is ready" in done.stdout

    async def is_registered() -> bool:
        words = ["operator", "search-attribute", "list", "--namespace", namespace, "-o", "json"]
        listed = await site.temporal(*words)
        return listed.status == 0 and {"TowlineGroup", "TowlineStatus"} <= set(
            json.loads(listed.out)["customAttributes"]
        )

    await eventually(is_registered)
