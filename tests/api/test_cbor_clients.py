"""The AWS CLI and boto3 over CBOR: they speak JSON to CodeDeploy unless its model names the other protocol alone."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
import pytest_asyncio
from botocore.config import Config

from tests.api.conftest import SECRET, Api
from tests.api.test_aws_cli import refused, succeeded
from tests.api.test_groups import ROLE
from tests.harness.cutting_proxy import CuttingProxy, cutting_proxy
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MODEL = Path("codedeploy/2014-10-06/service-2.json")
GROUP = {"applicationName": "shop", "deploymentGroupName": "cbor"}
OF_GROUP = ("--application-name", "shop", "--deployment-group-name", "cbor")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for AWS_DATA_PATH, with botocore's model of CodeDeploy for CBOR alone."""
    installed = Path(botocore.__file__).parent / "data" / f"{MODEL}.gz"
    model = json.loads(gzip.decompress(installed.read_bytes()))
    model["metadata"] |= {"protocols": ["smithy-rpc-v2-cbor"], "protocol": "smithy-rpc-v2-cbor"}
    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL).parent.mkdir(parents=True)
    (folder / MODEL).write_text(json.dumps(model))
    return folder


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(api: Api) -> AsyncIterator[CuttingProxy]:
    """What the clients are connected to, to see what they sent."""
    async with cutting_proxy(api.url) as proxy:
        yield proxy
        paths = {head.split()[1].rpartition(b"/")[0] for head in proxy.heads}
        assert paths == {b"/service/CodeDeploy_20141006/operation"}, "each call was made over CBOR"


async def test_the_aws_cli_deploys_waits_and_reads_back(api: Api, models: Path, proxy: CuttingProxy) -> None:
    await api.site.declare("shop", "cbor", count=1)
    environ = {"AWS_DATA_PATH": str(models), "AWS_ENDPOINT_URL_CODEDEPLOY": proxy.url}

    async def aws(*words: str) -> Any:
        return succeeded(await api.aws("deploy", *words, **environ)).json

    revision = json.dumps(revision_shown(api.site.stored(await asyncio.to_thread(api.site.bundle, "cbor"))))
    made = (await aws("create-deployment", *OF_GROUP, "--revision", revision))["deploymentId"]
    of = ("--deployment-id", made)
    succeeded(await api.aws("deploy", "wait", "deployment-successful", *of, **environ))
    info = (await aws("get-deployment", *of))["deploymentInfo"]
    assert (info["status"], info["deploymentOverview"]["Succeeded"]) == ("Succeeded", 1)
    assert isinstance(info["createTime"], (str, float))
    assert (await aws("list-deployments", *OF_GROUP))["deployments"] == [made]
    target = await aws("get-deployment-target", *of, "--target-id", "cbor-1")
    assert target["deploymentTarget"]["instanceTarget"]["status"] == "Succeeded"
    again = await api.aws("deploy", "stop-deployment", *of, **environ)
    assert refused(again) == "DeploymentAlreadyCompletedException"


async def test_boto3_creates_groups_and_reads_times_lists_and_errors(
    api: Api, models: Path, proxy: CuttingProxy
) -> None:
    session = botocore.session.Session()
    session.set_config_variable("data_path", str(models))
    aws: Any = session.create_client(
        "codedeploy",
        endpoint_url=proxy.url,
        region_name="eu-west-1",
        aws_access_key_id="TLCI",
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )

    def job() -> tuple[Any, ...]:
        aws.create_application(applicationName="over-cbor", tags=[{"Key": "a", "Value": "é\u2028"}])
        filters = [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}]
        aws.create_deployment_group(
            applicationName="over-cbor",
            deploymentGroupName="web",
            serviceRoleArn=ROLE,
            onPremisesInstanceTagFilters=filters,
        )
        group = aws.get_deployment_group(applicationName="over-cbor", deploymentGroupName="web")
        application = aws.get_application(applicationName="over-cbor")["application"]
        arn = "arn:aws:codedeploy:eu-west-1:000000000000:application:over-cbor"
        tags = aws.list_tags_for_resource(ResourceArn=arn)["Tags"]
        ranged = aws.list_deployments(
            createTimeRange={"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2021, 1, 1, tzinfo=UTC)}
        )
        names = [name for page in aws.get_paginator("list_applications").paginate() for name in page["applications"]]
        with pytest.raises(aws.exceptions.ApplicationAlreadyExistsException, match="over-cbor"):
            aws.create_application(applicationName="over-cbor")
        aws.delete_application(applicationName="over-cbor")
        shown = group["deploymentGroupInfo"]["onPremisesInstanceTagFilters"]
        return shown == filters, type(application["createTime"]), tags, ranged["deployments"], "over-cbor" in names

    found = await asyncio.to_thread(job)
    assert found == (True, datetime, [{"Key": "a", "Value": "é\u2028"}], [], True)
