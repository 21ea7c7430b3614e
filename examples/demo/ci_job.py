"""What a CI job does that calls CodeDeploy today: it names a revision, creates a deployment, and waits for its end."""

from __future__ import annotations

from collections.abc import Callable

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from examples.demo.site import DemoFailed

GROUP = {"applicationName": "shop", "deploymentGroupName": "production"}
CONFIG = "CodeDeployDefault.HalfAtATime"


def redeploy(endpoint: str, deployment_id: str, say: Callable[[str], None]) -> None:
    """Deploys again what a deployment brought, by boto3; says the AWS CLI's commands for it. Raises DemoFailed."""
    unsigned = Config(signature_version=UNSIGNED)  # `towline up` asks for no signature
    aws = boto3.client("codedeploy", endpoint_url=endpoint, region_name="eu-west-1", config=unsigned)
    say(f"export AWS_ENDPOINT_URL_CODEDEPLOY={endpoint}")
    try:
        revision = aws.get_deployment(deploymentId=deployment_id)["deploymentInfo"]["revision"]
        location = ",".join(f"{name}={value}" for name, value in revision["s3Location"].items())
        say(
            "aws deploy create-deployment --application-name shop --deployment-group-name production \\\n"
            f"      --deployment-config-name {CONFIG} \\\n      --s3-location {location}"
        )
        made = aws.create_deployment(**GROUP, revision=revision, deploymentConfigName=CONFIG)["deploymentId"]
        say(f"aws deploy wait deployment-successful --deployment-id {made}")
        waiter = aws.get_waiter("deployment_successful")
        waiter.wait(deploymentId=made, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except (BotoCoreError, ClientError) as error:
        raise DemoFailed(f"CodeDeploy's API at {endpoint}: {error}") from error
