"""The JavaScript SDK v3 against `towline api`, over both protocols of CodeDeploy's model."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.conftest import SECRET, Api
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SOURCES = Path(__file__).parent / "javascript"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job's script, beside the SDK that npm installs."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=240)
    return folder / "job.mjs"


@pytest.mark.parametrize("protocol", ["json", "cbor"])
async def test_a_job_deploys_waits_and_reads_back(api: Api, job: Path, protocol: str) -> None:
    bundle = await asyncio.to_thread(api.site.bundle, f"javascript-{protocol}")
    revision = json.dumps(revision_shown(api.site.stored(bundle)))
    environ = {
        "AWS_ENDPOINT_URL_CODEDEPLOY": api.url,
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "TLCI",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    done = await api.site.run("node", str(job), protocol, revision, folder=job.parent, environ=environ)
    assert done.status == 0, done.err
    assert done.json == {
        "status": "Succeeded",
        "overview": {"Pending": 0, "InProgress": 0, "Succeeded": 2, "Failed": 0, "Skipped": 0, "Ready": 0},
        "isDate": True,
        "isListed": True,
        "targets": ["cli-1", "cli-2"],
        "events": ["Succeeded"] * 7,
        "error": "ApplicationDoesNotExistException",
    }
