"""`towline import-from-aws` against moto's CodeDeploy; what moto does not have is answered here in AWS's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto.codedeploy.responses import CodeDeployResponse

from tests.harness.s3 import s3_server, use_aws
from towline.cli.commands import cli
from towline.model.manifest.parser import parse_manifest

pytestmark = pytest.mark.slow
MISSING = {
    "list_deployment_configs": {"deploymentConfigsList": ["CodeDeployDefault.OneAtATime", "three-quarters"]},
    "get_deployment_config": {
        "deploymentConfigInfo": {
            "deploymentConfigName": "three-quarters",
            "deploymentConfigId": "1",
            "computePlatform": "Server",
            "minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 75},
        }
    },
    "list_on_premises_instances": {"instanceNames": ["web-1"]},
    "batch_get_on_premises_instances": {
        "instanceInfos": [{"instanceName": "web-1", "tags": [{"Key": "role", "Value": "web"}]}]
    },
}
TRAFFIC: dict[str, Any] = {
    "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
    "loadBalancerInfo": {"targetGroupInfoList": [{"name": "web"}]},
    "triggerConfigurations": [
        {
            "triggerName": "all",
            "triggerTargetArn": "arn:aws:sns:eu-west-1:123456789012:all",
            "triggerEvents": ["DeploymentFailure"],
        }
    ],
    "blueGreenDeploymentConfiguration": {
        "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30},
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "KEEP_ALIVE"},
    },
}


@pytest.fixture
def codedeploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for operation, answer in MISSING.items():
        monkeypatch.setattr(CodeDeployResponse, operation, lambda _, answer=answer: json.dumps(answer), raising=False)
    with s3_server() as address:
        use_aws(monkeypatch, address)
        yield boto3.client("codedeploy", endpoint_url=address, region_name="eu-west-1")


def test_an_account_becomes_a_file_that_can_be_applied(codedeploy: Any) -> None:
    for name in ("shop", "api"):
        codedeploy.create_application(applicationName=name, computePlatform="Server")
    codedeploy.create_application(applicationName="functions", computePlatform="Lambda")
    codedeploy.create_deployment_group(
        applicationName="shop",
        deploymentGroupName="production",
        serviceRoleArn="arn:aws:iam::123456789012:role/x",
        deploymentConfigName="three-quarters",
        ec2TagFilters=[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}],
        **TRAFFIC,
    )
    done = CliRunner().invoke(cli, ["import-from-aws"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    manifest = parse_manifest(done.stdout, host="here")
    assert not manifest.errors, manifest.errors
    assert set(manifest.records) == {
        *("application/shop", "application/api", "group/shop/production"),
        *("config/three-quarters", "instance/web-1", "ec2/eu-west-1"),
    }
    assert manifest.records["instance/web-1"]["tags"] == {"role": "web"}
    group = manifest.records["group/shop/production"]
    assert group["deploymentGroupId"] and group["deploymentConfigName"] == "three-quarters"
    assert {member: group[member] for member in TRAFFIC} == TRAFFIC
    assert "deploymentStyle.deploymentType: blue/green deployments are not built yet" in done.stderr
    assert "application functions: it is for Lambda" in done.stderr
