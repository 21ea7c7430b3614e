"""Groups with load balancers, alarms and triggers, by the AWS CLI and boto3, and the deployments that they allow."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.conftest import Api
from tests.api.test_aws_cli import refused, succeeded
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROLE = "arn:aws:iam::123456789012:role/deploys"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:deploys"
CONTROL = {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
IN_PLACE = {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}
BALANCER = {"targetGroupInfoList": [{"name": "web"}]}
WATCHED = {"enabled": True, "ignorePollAlarmFailure": False, "alarms": [{"name": "errors"}, {"name": "latency"}]}
TRIGGER = {"triggerName": "all", "triggerTargetArn": TOPIC, "triggerEvents": ["DeploymentFailure", "DeploymentStop"]}
BLUE_GREEN = {
    "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60},
    "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
    "terminateBlueInstancesOnDeploymentSuccess": {"action": "KEEP_ALIVE"},
}
EVERYTHING: dict[str, Any] = {
    "deploymentStyle": CONTROL,
    "loadBalancerInfo": BALANCER,
    "blueGreenDeploymentConfiguration": BLUE_GREEN,
    "alarmConfiguration": WATCHED,
    "triggerConfigurations": [TRIGGER],
    "autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]},
    "outdatedInstancesStrategy": "IGNORE",
    "terminationHookEnabled": True,
}


class Terraform:
    """The calls of Terraform's provider for one group of the application `traffic`: it reads back all that it wrote."""

    def __init__(self, api: Api, group: str) -> None:
        self.aws, self.group = api.client(), group

    def create(self, **members: Any) -> dict[str, Any]:
        if "traffic" not in self.aws.list_applications()["applications"]:
            self.aws.create_application(applicationName="traffic")
        self.aws.create_deployment_group(
            applicationName="traffic", deploymentGroupName=self.group, serviceRoleArn=ROLE, **members
        )
        return self.read()

    def read(self) -> dict[str, Any]:
        found = self.aws.get_deployment_group(applicationName="traffic", deploymentGroupName=self.group)
        info: dict[str, Any] = found["deploymentGroupInfo"]
        return info

    def update(self, **members: Any) -> dict[str, Any]:
        self.aws.update_deployment_group(
            applicationName="traffic", currentDeploymentGroupName=self.group, serviceRoleArn=ROLE, **members
        )
        return self.read()


async def test_terraform_finds_nothing_to_change_after_it_wrote_everything(api: Api) -> None:
    def run() -> None:
        terraform = Terraform(api, "everything")
        info = terraform.create(**EVERYTHING)
        assert {member: info[member] for member in EVERYTHING} == EVERYTHING
        assert terraform.update(**EVERYTHING) == info
        assert terraform.update(deploymentConfigName="CodeDeployDefault.AllAtOnce")["alarmConfiguration"] == WATCHED
        # The blocks are taken out of the configuration: what is sent then, and what is left.
        info = terraform.update(deploymentStyle=IN_PLACE, loadBalancerInfo={})
        assert info["deploymentStyle"] == IN_PLACE and "loadBalancerInfo" not in info
        assert info["blueGreenDeploymentConfiguration"] == BLUE_GREEN, "it stays, as on AWS"
        info = terraform.update(triggerConfigurations=[], alarmConfiguration={"enabled": False, "alarms": []})
        assert info["triggerConfigurations"] == []
        assert info["alarmConfiguration"] == {"enabled": False, "ignorePollAlarmFailure": False, "alarms": []}
        found = terraform.aws.batch_get_deployment_groups(
            applicationName="traffic", deploymentGroupNames=["everything"]
        )
        assert found["deploymentGroupsInfo"] == [info]

    await asyncio.to_thread(run)


async def test_an_update_that_would_leave_traffic_control_without_a_balancer_changes_nothing(api: Api) -> None:
    def run() -> None:
        terraform = Terraform(api, "balanced")
        before = terraform.create(deploymentStyle=CONTROL, loadBalancerInfo=BALANCER)
        with pytest.raises(ClientError, match="no load balancer or target group has been specified") as caught:
            terraform.update(loadBalancerInfo={})
        assert caught.value.response["Error"]["Code"] == "InvalidLoadBalancerInfoException"
        assert terraform.read() == before

    await asyncio.to_thread(run)


async def test_what_is_exported_applies_to_no_change(api: Api) -> None:
    await asyncio.to_thread(lambda: Terraform(api, "exported").create(**EVERYTHING))
    exported = await api.site.towline("export")
    assert exported.status == 0, exported.err
    file = api.site.folder / "exported.yaml"
    file.write_text(exported.out)
    applied = await api.site.towline("apply", "-f", str(file), "--dry-run")
    assert applied.status == 0, applied.err
    assert "group traffic/exported" not in applied.out
    assert "deployments to this group are refused" in applied.err


async def test_the_aws_cli_sets_each_member_and_takes_its_own_skeleton(api: Api) -> None:
    names = ("--application-name", "traffic-cli", "--deployment-group-name", "options")
    succeeded(await api.aws("deploy", "create-application", "--application-name", "traffic-cli"))
    succeeded(
        await api.aws(
            *("deploy", "create-deployment-group", *names, "--service-role-arn", ROLE),
            *("--deployment-style", "deploymentType=IN_PLACE,deploymentOption=WITH_TRAFFIC_CONTROL"),
            *("--load-balancer-info", "targetGroupInfoList=[{name=web}]"),
            *("--alarm-configuration", "enabled=true,ignorePollAlarmFailure=true,alarms=[{name=errors}]"),
            *("--trigger-configurations", f"triggerName=all,triggerTargetArn={TOPIC},triggerEvents=DeploymentFailure"),
            *("--blue-green-deployment-configuration", json.dumps(BLUE_GREEN)),
            *("--outdated-instances-strategy", "IGNORE", "--termination-hook-enabled"),
        )
    )
    info = succeeded(await api.aws("deploy", "get-deployment-group", *names)).json["deploymentGroupInfo"]
    assert info["deploymentStyle"] == CONTROL and info["loadBalancerInfo"] == BALANCER
    assert info["alarmConfiguration"]["alarms"] == [{"name": "errors"}]
    assert info["triggerConfigurations"] == [{**TRIGGER, "triggerEvents": ["DeploymentFailure"]}]
    assert info["blueGreenDeploymentConfiguration"] == BLUE_GREEN and info["terminationHookEnabled"]

    skeleton = succeeded(await api.aws("deploy", "create-deployment-group", "--generate-cli-skeleton")).json
    del skeleton["deploymentConfigName"]
    skeleton |= {"applicationName": "traffic-cli", "deploymentGroupName": "skeleton", "serviceRoleArn": ROLE}
    skeleton |= {"ec2TagFilters": [], "ec2TagSet": {}, "onPremisesInstanceTagFilters": [], "onPremisesTagSet": {}}
    create = ("deploy", "create-deployment-group", "--cli-input-json")
    assert refused(await api.aws(*create, json.dumps(skeleton))).startswith("Invalid"), "an alarm without a name"
    skeleton |= {"autoScalingGroups": ["web"], "tags": [], **EVERYTHING}
    succeeded(await api.aws(*create, json.dumps(skeleton)))
    names = ("--application-name", "traffic-cli", "--deployment-group-name", "skeleton")
    info = succeeded(await api.aws("deploy", "get-deployment-group", *names)).json["deploymentGroupInfo"]
    assert {member: info[member] for member in EVERYTHING} == EVERYTHING


async def test_a_deployment_that_needs_what_is_not_built_is_refused_everywhere(api: Api) -> None:
    style = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
    await api.site.declare("shop", "green", count=1, deploymentStyle=style, loadBalancerInfo=BALANCER)
    bundle = api.site.bundle("green")
    revision = revision_shown(api.site.stored(bundle))
    group = ("--application-name", "shop", "--deployment-group-name", "green")
    done = await api.aws("deploy", "create-deployment", *group, "--revision", json.dumps(revision))
    assert refused(done) == "NotImplementedException"
    assert "deploymentStyle.deploymentType" in done.err and "set deploymentType to IN_PLACE" in done.err
    listed = succeeded(await api.aws("deploy", "list-deployments", *group)).json["deployments"]
    assert listed == [], "a refused call leaves nothing"

    for words in (("--plan",), ("--id", "d-GREEN0001")):
        done = await api.site.towline("deploy", "shop", "green", "--revision", str(bundle), *words)
        assert done.status == 2, done
        assert "deploymentStyle.deploymentType" in done.err + done.out
        assert "set deploymentType to IN_PLACE" in done.err + done.out
    of = ("--deployment-id", "d-GREEN0001")
    info = succeeded(await api.aws("deploy", "get-deployment", *of)).json["deploymentInfo"]
    assert (info["status"], info["deploymentStyle"], info["loadBalancerInfo"]) == ("Failed", style, BALANCER)
    assert refused(await api.aws("deploy", "list-deployment-targets", *of)) == "DeploymentNotStartedException"
    assert not api.site.root("green-1").exists()
    # Operations that have no error for a deployment that has not started.
    one = await api.aws("deploy", "get-deployment-instance", *of, "--instance-id", "green-1")
    assert refused(one) == "InstanceDoesNotExistException"
    several = succeeded(await api.aws("deploy", "batch-get-deployment-instances", *of, "--instance-ids", "green-1"))
    assert several.json["instancesSummary"] == [] and "green-1" in several.json["errorMessage"]
    hook = ("--lifecycle-event-hook-execution-id", "x", "--status", "Succeeded")
    done = await api.aws("deploy", "put-lifecycle-event-hook-execution-status", *of, *hook)
    assert refused(done) == "UnsupportedActionForDeploymentTypeException"
    listed = await api.aws("deploy", "list-deployments", *group, "--include-only-statuses", "Ready", "Failed")
    assert succeeded(listed).json["deployments"] == ["d-GREEN0001"]


async def test_a_deployment_goes_on_without_the_groups_alarms_and_warns_that_no_notification_is_sent(api: Api) -> None:
    members = {"alarmConfiguration": WATCHED, "triggerConfigurations": [TRIGGER], "loadBalancerInfo": BALANCER}
    await api.site.declare("shop", "watched", count=1, **members)
    revision = json.dumps(revision_shown(api.site.stored(api.site.bundle("watched"))))
    create = ("deploy", "create-deployment", "--application-name", "shop", "--deployment-group-name", "watched")
    assert refused(await api.aws(*create, "--revision", revision)) == "NotImplementedException"
    bad = await api.aws(*create, "--revision", revision, "--override-alarm-configuration", "enabled=true")
    assert refused(bad) == "InvalidAlarmConfigException"
    named = await api.aws(*create, "--revision", revision, "--target-instances", "autoScalingGroups=web")
    assert refused(named) == "InvalidTargetInstancesException"

    override = ("--override-alarm-configuration", "enabled=false")
    made = succeeded(await api.aws(*create, "--revision", revision, *override)).json["deploymentId"]
    of = ("--deployment-id", made)
    succeeded(await api.aws("deploy", "wait", "deployment-successful", *of))
    info = succeeded(await api.aws("deploy", "get-deployment", *of)).json["deploymentInfo"]
    assert info["overrideAlarmConfiguration"]["enabled"] is False
    assert (info["deploymentStyle"], info["loadBalancerInfo"]) == (IN_PLACE, BALANCER)
    assert info["instanceTerminationWaitTimeStarted"] is False
    assert "blueGreenDeploymentConfiguration" not in info
    shown = await api.site.towline("status", made)
    assert "no notification is sent" in shown.out + shown.err
