"""boto3 against `towline api`, on a real Temporal server with local instances."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.site import Site, running_site
from tests.support.temporal import TemporalServer
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SECRET = "0123456789abcdef0123"


@dataclass
class Api:
    """A site, and the address of its API."""

    site: Site
    url: str

    def client(self, name: str = "CI", secret: str = SECRET, path: str = "") -> Any:
        return boto3.client(
            "codedeploy",
            endpoint_url=self.url + path,
            region_name="eu-west-1",
            aws_access_key_id=f"TL{name}",
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    async with running_site(temporal, folder) as site:
        await site.declare("shop", "production", count=2)
        command = [sys.executable, "-m", "towline", "api", "--port", "0", *credentials(folder)]
        log = (folder / "api.log").open("w")
        with log, subprocess.Popen(command, env=site.environ, cwd=folder, stdout=subprocess.PIPE, stderr=log) as server:
            assert server.stdout
            line = await asyncio.to_thread(server.stdout.readline)
            assert line, (folder / "api.log").read_text()
            yield Api(site, line.split()[2].decode())
            server.terminate()
        assert "Traceback" not in (folder / "api.log").read_text()


def credentials(folder: Path) -> list[str]:
    keys, policy = folder / "keys", folder / "policy.yaml"
    keys.write_text(
        "".join(f"[{n}]\naws_access_key_id=TL{n}\naws_secret_access_key={SECRET}\n" for n in ("CI", "READER"))
    )
    keys.chmod(0o600)
    policy.write_text(
        'CI: {Statement: {Effect: Allow, Action: "codedeploy:*", Resource: "*"}}\n'
        'READER: {Statement: {Effect: Allow, Action: "codedeploy:Get*", Resource: "*"}}\n'
    )
    return ["--access-keys", str(keys), "--policy", str(policy)]


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


async def test_a_job_creates_a_deployment_and_waits_for_it(api: Api) -> None:
    revision = revision_shown(api.site.stored(api.site.bundle("v1")))

    def job() -> dict[str, Any]:
        codedeploy = api.client()
        group = {"applicationName": "shop", "deploymentGroupName": "production"}
        made = codedeploy.create_deployment(**group, revision=revision, description="from CI")["deploymentId"]
        codedeploy.get_waiter("deployment_successful").wait(
            deploymentId=made, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        found: dict[str, Any] = codedeploy.get_deployment(deploymentId=made)["deploymentInfo"]
        return found

    info = await asyncio.to_thread(job)
    assert info["deploymentOverview"]["Succeeded"] == 2 and info["revision"] == revision
    assert info["description"] == "from CI" and info["completeTime"] >= info["createTime"]
    assert (api.site.root("production-1") / "srv/shop/index.html").read_text() == "v1\n"
    listed = await api.site.towline("list", "--json")
    assert "CI" in listed.out, "who asked is on record"


async def test_a_wish_with_a_name_is_one_deployment(api: Api) -> None:
    revision = revision_shown(api.site.stored(api.site.bundle("once")))
    group = {"applicationName": "shop", "deploymentGroupName": "production"}

    def job() -> str:
        return str(api.client(path="/once/BUILD-17").create_deployment(**group, revision=revision)["deploymentId"])

    first = await asyncio.to_thread(job)
    assert await asyncio.to_thread(job) == first


async def test_mistakes_have_codedeploys_codes(api: Api) -> None:
    def mistakes() -> dict[str, str]:
        codedeploy, reader = api.client(), api.client("READER")
        group = {"applicationName": "shop", "deploymentGroupName": "production"}
        s3 = {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "rar"}}
        return {
            "application": refused(codedeploy.get_application, applicationName="none"),
            "group": refused(codedeploy.get_deployment_group, applicationName="shop", deploymentGroupName="none"),
            "taken": refused(codedeploy.create_application, applicationName="shop"),
            "name": refused(codedeploy.get_application, applicationName="a b"),
            "deployment": refused(codedeploy.get_deployment, deploymentId="d-NONE00000"),
            "revision": refused(codedeploy.create_deployment, **group),
            "bundle": refused(codedeploy.create_deployment, **group, revision=s3),
            "secret": refused(api.client(secret="x" * 20).list_applications),
            "denied": refused(reader.create_deployment, **group, revision=s3),
            "not built": refused(codedeploy.list_deployment_configs),
        }

    assert await asyncio.to_thread(mistakes) == {
        "application": "ApplicationDoesNotExistException",
        "group": "DeploymentGroupDoesNotExistException",
        "taken": "ApplicationAlreadyExistsException",
        "name": "InvalidApplicationNameException",
        "deployment": "DeploymentDoesNotExistException",
        "revision": "RevisionRequiredException",
        "bundle": "InvalidRevisionException",
        "secret": "InvalidSignatureException",
        "denied": "AccessDeniedException",
        "not built": "NotImplementedException",
    }
