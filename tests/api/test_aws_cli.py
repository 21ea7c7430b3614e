"""The real AWS CLI against `towline api`: what CI jobs run today, with one variable set."""

from __future__ import annotations

import json

import pytest

from tests.api.conftest import Api
from tests.harness.s3 import aws_environ, new_bucket
from tests.harness.site import Done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
GROUP = ("--application-name", "shop", "--deployment-group-name", "cli")


def succeeded(done: Done) -> Done:
    assert done.status == 0, done.err
    return done


def refused(done: Done) -> str:
    """The error code in the CLI's words."""
    assert done.status in (254, 255) and "Traceback" not in done.err, done
    return done.err.partition("(")[2].partition(")")[0]


@pytest.fixture(scope="module")
def bucket(api: Api) -> str:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environ(api.s3).items():
            patch.setenv(name, value)
        return new_bucket(api.s3)


async def test_push_deploy_and_wait_as_a_ci_job_does(api: Api, bucket: str) -> None:
    source = str(api.site.bundle("pushed"))
    pushed = succeeded(
        await api.aws(
            *("deploy", "push", "--application-name", "shop", "--description", "build 17"),
            *("--s3-location", f"s3://{bucket}/shop/17.zip", "--source", source),
        )
    )
    assert "create-deployment" in pushed.out
    location = f"bucket={bucket},key=shop/17.zip,bundleType=zip"
    made = succeeded(
        await api.aws("deploy", "create-deployment", *GROUP, "--s3-location", location, "--description", "from CI")
    ).json["deploymentId"]
    succeeded(await api.aws("deploy", "wait", "deployment-successful", "--deployment-id", made))
    info = succeeded(await api.aws("deploy", "get-deployment", "--deployment-id", made)).json["deploymentInfo"]
    assert (info["status"], info["deploymentOverview"]["Succeeded"], info["description"]) == ("Succeeded", 2, "from CI")
    assert (api.site.root("cli-1") / "srv/shop/index.html").read_text() == "pushed\n"

    listed = succeeded(await api.aws("deploy", "list-deployments", *GROUP, "--include-only-statuses", "Succeeded"))
    assert made in listed.json["deployments"]
    targets = succeeded(await api.aws("deploy", "list-deployment-targets", "--deployment-id", made)).json["targetIds"]
    assert targets == ["cli-1", "cli-2"]
    of = ("--deployment-id", made)
    target = succeeded(await api.aws("deploy", "get-deployment-target", *of, "--target-id", "cli-1")).json
    events = target["deploymentTarget"]["instanceTarget"]["lifecycleEvents"]
    assert [one["lifecycleEventName"] for one in events][:2] == ["ApplicationStop", "DownloadBundle"]
    assert all(one["status"] == "Succeeded" and one["diagnostics"]["errorCode"] == "Success" for one in events)
    batch = succeeded(await api.aws("deploy", "batch-get-deployment-targets", *of, "--target-ids", "cli-1", "cli-2"))
    assert len(batch.json["deploymentTargets"]) == 2
    old = succeeded(await api.aws("deploy", "get-deployment-instance", *of, "--instance-id", "cli-2")).json
    assert old["instanceSummary"]["status"] == "Succeeded"

    assert refused(await api.aws("deploy", "stop-deployment", *of)) == "DeploymentAlreadyCompletedException"
    assert refused(await api.aws("deploy", "continue-deployment", *of)) == "DeploymentAlreadyCompletedException"
    unknown = await api.aws("deploy", "get-deployment-target", *of, "--target-id", "nobody")
    assert refused(unknown) == "DeploymentTargetDoesNotExistException"

    revisions = succeeded(
        await api.aws(
            *("deploy", "list-application-revisions", "--application-name", "shop", "--deployed", "include"),
            *("--sort-by", "lastUsedTime", "--sort-order", "descending", "--s3-bucket", bucket),
        )
    ).json["revisions"]
    assert revisions[0]["s3Location"]["key"] == "shop/17.zip"
    e_tag = revisions[0]["s3Location"].get("eTag", "")
    given = f"bucket={bucket},key=shop/17.zip,bundleType=zip" + (f",eTag={e_tag}" if e_tag else "")
    shown = succeeded(
        await api.aws("deploy", "get-application-revision", "--application-name", "shop", "--s3-location", given)
    ).json["revisionInfo"]
    assert "lastUsedTime" in shown and "cli" in shown["deploymentGroups"]


async def test_a_skeleton_is_taken_back_when_it_is_filled_in(api: Api) -> None:
    skeleton = succeeded(await api.aws("deploy", "create-deployment", "--generate-cli-skeleton")).json
    stored = api.site.stored(api.site.bundle("skeleton"))["storeLocation"]
    del skeleton["overrideAlarmConfiguration"], skeleton["deploymentConfigName"]
    skeleton |= {"applicationName": "shop", "deploymentGroupName": "cli", "fileExistsBehavior": "OVERWRITE"}
    skeleton["updateOutdatedInstancesOnly"] = False
    skeleton["revision"]["revisionType"] = "S3"
    skeleton["revision"]["s3Location"] |= {
        "bucket": "towline-store",
        "key": f"{stored['digest']}/{stored['name']}.{stored['bundleType']}",
        "bundleType": stored["bundleType"],
    }
    made = succeeded(await api.aws("deploy", "create-deployment", "--cli-input-json", json.dumps(skeleton))).json
    succeeded(await api.aws("deploy", "wait", "deployment-successful", "--deployment-id", made["deploymentId"]))


async def test_mistakes_end_with_codedeploys_codes(api: Api) -> None:
    assert refused(await api.aws("deploy", "list-deployments", "--application-name", "shop")) == (
        "DeploymentGroupNameRequiredException"
    )
    wrong_time = ("--create-time-range", "start=2026-02-01,end=2026-01-01")
    assert refused(await api.aws("deploy", "list-deployments", *wrong_time)) == "InvalidTimeRangeException"
    no_bucket = ("--s3-key-prefix", "shop/")
    listed = await api.aws("deploy", "list-application-revisions", "--application-name", "shop", *no_bucket)
    assert refused(listed) == "BucketNameFilterRequiredException"
    token = await api.aws("deploy", "delete-git-hub-account-token", "--token-name", "mine")
    assert refused(token) == "GitHubAccountTokenDoesNotExistException"
    gone = await api.aws("deploy", "get-deployment", "--deployment-id", "d-NONE00000")
    assert refused(gone) == "DeploymentDoesNotExistException"
