"""What CI's steps for CodeDeploy do: which calls, in which order, and which texts they take ids from.

Sources, read for facts: webfactory/create-aws-codedeploy-deployment, sourcetoad/aws-codedeploy-action, travis-ci/dpl,
jenkinsci/aws-codedeploy-plugin, JetBrains/teamcity-aws-codedeploy-plugin, cloud-custodian; moto's tests of CodeDeploy.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.api.conftest import Api
from tests.api.scenario import ABSENT, Step, application, group, new_group, run, tag
from tests.api.test_aws_cli import succeeded
from tests.harness.s3 import aws_environ, new_bucket, s3_client
from towline.api.revisions import revision_shown
from towline.bundles.local import as_archive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
S3 = {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip", "version": "1", "eTag": "e"}}
QUICK = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="module")
def bucket(api: Api) -> str:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environ(api.s3).items():
            patch.setenv(name, value)
        return new_bucket(api.s3)


def put(api: Api, bucket: str, key: str, script: str = "") -> str:
    """Uploads a bundle as CI does; the ETag as S3 gives it, with its quotes."""
    name = Path(key).stem
    archive = as_archive(api.site.bundle(name, script), api.site.folder, "zip")
    answer = s3_client(api.s3).put_object(Bucket=bucket, Key=key, Body=archive.path.read_bytes())
    return str(answer["ETag"])


def stored(api: Api, name: str, script: str = "") -> dict[str, Any]:
    return revision_shown(api.site.stored(api.site.bundle(name, script)))


async def test_an_action_waits_for_the_deployment_whose_id_is_in_the_message(api: Api) -> None:
    """webfactory's: update the group or create it, compare run numbers, deploy, or wait for the active one."""
    gate = api.site.folder / "webfactory-may-end"
    first = stored(api, "webfactory-1", f"while [ ! -e {gate} ]; do sleep 0.1; done")
    second = stored(api, "webfactory-2")
    await api.site.declare("shop", "webfactory", count=1)
    config = {"onPremisesInstanceTagFilters": [tag("group", "shop/webfactory")]}
    update = {"applicationName": "shop", "currentDeploymentGroupName": "feature-x", **config}

    def job() -> str:
        aws = api.client()
        run(
            aws,
            [
                Step("update_deployment_group", update, "DeploymentGroupDoesNotExistException"),
                Step("create_deployment_group", new_group("shop", "feature-x", **config)),
                Step("update_deployment_group", update),
                Step(
                    "get_deployment_group",
                    group("shop", "feature-x"),
                    {"deploymentGroupInfo.lastAttemptedDeployment": ABSENT},
                ),
            ],
        )
        described = {"description": "Created by an action (run_number=2)"}
        made = aws.create_deployment(**group("shop", "feature-x"), revision=first, **described)["deploymentId"]
        info = aws.get_deployment_group(**group("shop", "feature-x"))["deploymentGroupInfo"]
        assert info["lastAttemptedDeployment"]["deploymentId"] == made and info["targetRevision"] == first
        shown = aws.get_deployment(deploymentId=made)["deploymentInfo"]["description"]
        assert re.search(r"run_number=(\d+)", shown)
        with pytest.raises(aws.exceptions.DeploymentLimitExceededException) as refused:
            aws.create_deployment(**group("shop", "feature-x"), revision=second, description="")
        found = re.search(r"(?:is already deploying|already has an active Deployment) '(d-\w+)'", str(refused.value))
        assert found and found[1] == made
        gate.touch()
        aws.get_waiter("deployment_successful").wait(deploymentId=found[1], WaiterConfig=QUICK)
        last = aws.create_deployment(**group("shop", "feature-x"), revision=second, description="")["deploymentId"]
        aws.get_waiter("deployment_successful").wait(deploymentId=last, WaiterConfig=QUICK)
        info = aws.get_deployment_group(**group("shop", "feature-x"))["deploymentGroupInfo"]
        ended = info["lastSuccessfulDeployment"]
        assert (ended["deploymentId"], ended["status"]) == (last, "Succeeded") and ended["endTime"] > ended[
            "createTime"
        ]
        return str(info["targetRevision"])

    assert await asyncio.to_thread(job) == str(second)


async def test_an_action_deploys_an_object_by_its_quoted_etag(api: Api, bucket: str) -> None:
    """sourcetoad's, in shell: no active deployments, register or deploy with S3's own ETag, poll the overview."""
    await api.site.declare("shop", "sourcetoad", count=1)
    etag = await asyncio.to_thread(put, api, bucket, "releases/sourcetoad.zip")
    assert etag.startswith('"')
    of_group = ("--application-name", "shop", "--deployment-group-name", "sourcetoad")
    active = await api.aws("deploy", "list-deployments", *of_group, "--include-only-statuses", "Queued", "InProgress")
    assert succeeded(active).json["deployments"] == []
    location = f"bucket={bucket},bundleType=zip,eTag={etag},key=releases/sourcetoad.zip"
    registered = ("--application-name", "shop", "--description", "refs/heads/main - 0123abc", "--s3-location", location)
    assert succeeded(await api.aws("deploy", "register-application-revision", *registered)).out == ""
    made = await api.aws("deploy", "create-deployment", *of_group, "--s3-location", location, "--output", "text")
    deployment = succeeded(made).out.strip()
    succeeded(await api.aws("deploy", "wait", "deployment-successful", "--deployment-id", deployment))
    status = ("--query", "deploymentInfo.status", "--output", "text")
    shown = await api.aws("deploy", "get-deployment", "--deployment-id", deployment, *status)
    assert succeeded(shown).out == "Succeeded\n"


async def test_a_plugin_registers_deploys_and_polls_until_there_is_a_complete_time(api: Api, bucket: str) -> None:
    """Jenkins' and TeamCity's: look both names up in the lists, register, deploy, poll; dpl's behaviour for files."""
    await api.site.declare("shop", "jenkins", count=1)
    etag = (await asyncio.to_thread(put, api, bucket, "jenkins.zip")).strip('"')
    location = {"bucket": bucket, "key": "jenkins.zip", "bundleType": "zip", "eTag": etag}
    revision = {"revisionType": "S3", "s3Location": location}

    def job() -> dict[str, Any]:
        aws = api.client()
        assert "shop" in aws.list_applications()["applications"]
        assert "jenkins" in aws.list_deployment_groups(applicationName="shop")["deploymentGroups"]
        aws.register_application_revision(applicationName="shop", revision=revision, description="by Jenkins")
        more = {"description": "by Jenkins", "fileExistsBehavior": "DISALLOW"}
        made = aws.create_deployment(**group("shop", "jenkins"), revision=revision, **more)["deploymentId"]
        while "completeTime" not in (info := aws.get_deployment(deploymentId=made)["deploymentInfo"]):
            assert info["status"] in ("Created", "Queued", "InProgress"), info
        assert info["startTime"] <= info["completeTime"] and info["revision"] == revision
        return dict(info)

    info = await asyncio.to_thread(job)
    assert info["status"] == "Succeeded" and info["deploymentOverview"]["Succeeded"] == 1


async def test_a_failure_ends_the_waiter_and_says_code_and_message(api: Api) -> None:
    await api.site.declare("shop", "fails", count=1)
    revision = await asyncio.to_thread(stored, api, "fails", "exit 1")

    def job() -> dict[str, Any]:
        aws = api.client()
        made = aws.create_deployment(**group("shop", "fails"), revision=revision)["deploymentId"]
        with pytest.raises(WaiterError, match="terminal failure state"):
            aws.get_waiter("deployment_successful").wait(deploymentId=made, WaiterConfig=QUICK)
        return dict(aws.get_deployment(deploymentId=made)["deploymentInfo"])

    info = await asyncio.to_thread(job)
    assert info["status"] == "Failed" and info["deploymentOverview"]["Failed"] == 1
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS" and info["errorInformation"]["message"]


ROWS: list[Step] = [
    Step("create_deployment", group("none", "none", revision=S3), "ApplicationDoesNotExistException"),
    Step("create_deployment", application("shop"), "DeploymentGroupNameRequiredException"),
    Step("create_deployment", group("shop", "none", revision=S3), "DeploymentGroupDoesNotExistException"),
    Step("create_deployment_group", new_group("none", "g"), "ApplicationDoesNotExistException"),
    Step("get_deployment_group", group("none", "g"), "ApplicationDoesNotExistException"),
    Step("get_deployment_group", group("shop", "none"), "DeploymentGroupDoesNotExistException"),
    Step("batch_get_applications", {"applicationNames": ["none"]}, "ApplicationDoesNotExistException"),
    Step("get_deployment", {"deploymentId": "d-0123456789"}, "DeploymentDoesNotExistException"),
    Step("list_deployments", {"deploymentGroupName": "g"}, "ApplicationNameRequiredException"),
    Step("list_deployments", application("shop"), "DeploymentGroupNameRequiredException"),
    Step("list_deployment_groups", application("none"), "ApplicationDoesNotExistException"),
    Step("get_on_premises_instance", {"instanceName": "none"}, "InstanceNotRegisteredException"),
    Step("deregister_on_premises_instance", {"instanceName": "none"}),
    Step("delete_git_hub_account_token", {}, "GitHubAccountTokenNameRequiredException"),
    Step("batch_get_deployments", {"deploymentIds": ["d-012345678"]}, {"deploymentsInfo": []}),
]


@pytest.mark.parametrize("step", ROWS, ids=lambda step: f"{step.operation} {step.expect}"[:60])
async def test_mocks_and_towline_agree_on_codes(api: Api, step: Step) -> None:
    await asyncio.to_thread(run, api.client(), [step])


async def test_a_sweep_lists_what_runs_and_stops_it(api: Api) -> None:
    """cloud-custodian's: all applications by batches, deployments by status, stopped one by one."""
    await api.site.declare("shop", "swept", count=1)
    gate = api.site.folder / "swept-may-end"
    revision = await asyncio.to_thread(stored, api, "swept", f"while [ ! -e {gate} ]; do sleep 0.1; done")

    def job(until: Callable[[], None]) -> None:
        aws = api.client()
        made = aws.create_deployment(**group("shop", "swept"), revision=revision)["deploymentId"]
        names = [name for page in aws.get_paginator("list_applications").paginate() for name in page["applications"]]
        infos = aws.batch_get_applications(applicationNames=names[:100])["applicationsInfo"]
        assert {"applicationId", "applicationName", "createTime", "linkedToGitHub"} <= infos[0].keys()
        while made not in aws.list_deployments(includeOnlyStatuses=["InProgress"])["deployments"]:
            pass
        [info] = aws.batch_get_deployments(deploymentIds=[made])["deploymentsInfo"]
        assert (info["status"], info["creator"]) == ("InProgress", "user")
        assert aws.stop_deployment(deploymentId=made)["status"] in ("Pending", "Succeeded")
        until()
        while made not in aws.list_deployments(includeOnlyStatuses=["Stopped"])["deployments"]:
            pass

    await asyncio.to_thread(job, gate.touch)
