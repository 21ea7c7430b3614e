"""`towline agent invite --codedeploy`: what a host with AWS's agent needs to be towline's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from towline.api.access_keys import AccessKey
from towline.errors import InvalidInput

REGION = "us-east-1"
ACCOUNT = "000000000000"

SETTINGS = """\
# {name}: /etc/codedeploy-agent/conf/codedeploy.onpremises.yml (keep the old file to go back; mode 0600)
---
region: {region}
iam_user_arn: {arn}
aws_access_key_id: {key_id}
aws_secret_access_key: {secret}
# {name}: in /etc/codedeploy-agent/conf/codedeployagent.yml
:deploy_control_endpoint: {endpoint}
:s3_endpoint_override: {endpoint}
# then: systemctl restart codedeploy-agent
"""


@dataclass(frozen=True)
class Invitation:
    """One host's settings."""

    name: str
    key: AccessKey
    endpoint: str

    def as_json(self) -> dict[str, str]:
        """The settings by their names in the agent's files."""
        return {
            "instanceName": self.name,
            "iam_user_arn": arn_of(self.name),
            "aws_access_key_id": self.key.key_id,
            "aws_secret_access_key": self.key.secret,
            "deploy_control_endpoint": self.endpoint,
            "s3_endpoint_override": self.endpoint,
        }

    def __str__(self) -> str:
        return SETTINGS.format(
            name=self.name,
            region=REGION,
            arn=arn_of(self.name),
            key_id=self.key.key_id,
            secret=self.key.secret,
            endpoint=self.endpoint,
        )


def arn_of(name: str) -> str:
    """What the agent calls itself by; its last part is the instance's name."""
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


def invitations(keys: Mapping[str, AccessKey], endpoint: str) -> Iterable[Invitation]:
    """The settings of these hosts. Raises InvalidInput for an endpoint that agents 1.x do not take."""
    if not endpoint.startswith("https://"):
        raise InvalidInput(
            f"{endpoint}: AWS's agent takes HTTPS only.", "Serve it with --tls-cert and --tls-key, or behind a proxy."
        )
    return [Invitation(name, key, endpoint.rstrip("/")) for name, key in keys.items()]
