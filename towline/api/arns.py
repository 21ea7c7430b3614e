"""CodeDeploy's ARNs: of applications, groups, configurations and on-premises instances."""

from __future__ import annotations

import re
from dataclasses import dataclass

from towline.api.errors import ApiError

ARN = re.compile(r"arn:aws[a-z-]*:codedeploy:[a-z0-9-]*:(?:\d{12})?:([a-z]+)[:/](.+)", re.DOTALL)
"""Of any account or none: Terraform builds ARNs with the one that it is given, and towline has no accounts."""


@dataclass(frozen=True)
class Arns:
    """Builds ARNs in one region and account.

    >>> Arns("eu-west-1", "000000000000").group("shop", "production")
    'arn:aws:codedeploy:eu-west-1:000000000000:deploymentgroup:shop/production'
    """

    region: str
    account: str

    def application(self, name: str) -> str:
        """Of an application."""
        return self._arn(f"application:{name}")

    def group(self, application: str, name: str) -> str:
        """Of a deployment group."""
        return self._arn(f"deploymentgroup:{application}/{name}")

    def config(self, name: str) -> str:
        """Of a deployment configuration."""
        return self._arn(f"deploymentconfig:{name}")

    def instance(self, name: str) -> str:
        """Of an on-premises instance."""
        return self._arn(f"instance/{name}")

    def target(self, name: str) -> str:
        """Of a deployment's target: an EC2 instance by its id, or an on-premises instance.

        >>> Arns("eu-west-1", "000000000000").target("i-0abc")
        'arn:aws:ec2:eu-west-1:000000000000:instance/i-0abc'
        """
        if name.startswith("i-"):
            return f"arn:aws:ec2:{self.region}:{self.account}:instance/{name}"
        return self.instance(name)

    def resource(self, resource: Resource) -> str:
        """Of what another ARN names, whatever region and account that one has."""
        return self._arn(f"{resource.kind}:{resource.name}")

    def user(self, name: str) -> str:
        """Of a caller, as IAM would write it."""
        return f"arn:aws:iam::{self.account}:user/{name}"

    def _arn(self, rest: str) -> str:
        return f"arn:aws:codedeploy:{self.region}:{self.account}:{rest}"


@dataclass(frozen=True)
class Resource:
    """What an ARN names: `kind` is application, deploymentgroup, deploymentconfig or instance."""

    kind: str
    name: str


def parse_arn(text: str) -> Resource:
    """Raises ApiError (InvalidArnException, ArnNotSupportedException)."""
    match = ARN.fullmatch(text)
    if not match:
        raise ApiError("InvalidArnException", f"The ARN {text!r} is not valid.")
    if match[1] not in ("application", "deploymentgroup", "deploymentconfig"):
        raise ApiError("ArnNotSupportedException", f"The ARN {text!r} is of no application, group or configuration.")
    return Resource(match[1], match[2])
