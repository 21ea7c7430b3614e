"""`towline agent invite --codedeploy`: what a host with AWS's agent needs to be towline's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from towline.api.access_keys import AccessKey
from towline.api.command_service.keys import make_host_keys
from towline.cli.event_loop import with_client
from towline.cli.output import info, result, warn
from towline.codedeploy_agents.access_keys import HostAccessKeys
from towline.creator import whoami
from towline.deployments.service import DeploymentService
from towline.errors import InvalidInput
from towline.settings import read_settings

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
{more}# then: systemctl restart codedeploy-agent
"""
PLAIN_HTTP = ":codedeploy_test_profile: beta  # else agents take HTTPS only; for a trial on one machine\n"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Invitation:
    """One host's settings."""

    name: str
    key: AccessKey
    endpoint: str

    def __str__(self) -> str:
        return SETTINGS.format(
            name=self.name,
            region=REGION,
            arn=arn_of(self.name),
            key_id=self.key.key_id,
            secret=self.key.secret,
            endpoint=self.endpoint,
            more="" if self.endpoint.startswith("https:") else PLAIN_HTTP,
        )


def arn_of(name: str) -> str:
    """What the agent calls itself by; its last part is the instance's name."""
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


def invite(names: Sequence[str], endpoint: str, host_keys: Path | None) -> None:
    """Prints the settings of hosts, each with its next key. Raises InvalidInput, NotFound, TemporalUnavailable."""
    check_endpoint(endpoint)
    keys = make_host_keys(host_keys or read_settings().host_keys)
    generations = with_client(lambda service: _invite(service, names))
    for name, generation in generations.items():
        result(str(Invitation(name, keys.key(name, generation), endpoint.rstrip("/"))))
    if max(generations.values()) > 1:
        info("A key that a host had before is good for one more day.")


async def _invite(service: DeploymentService, names: Sequence[str]) -> dict[str, int]:
    declared = await service.catalogue.instances()
    for name in names:
        if name in declared and declared[name].codedeploy_agent is None:
            warn(f"{name} is not declared with `codedeployAgent: {{}}`: nothing is deployed to it by AWS's agent.")
    return await HostAccessKeys(service.catalogue).invite(names, by=whoami())


def check_endpoint(endpoint: str) -> None:
    """Raises InvalidInput for an endpoint that agents 1.x do not take."""
    url = urlsplit(endpoint)
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in LOOPBACK):
        raise InvalidInput(
            f"{endpoint}: AWS's agent takes HTTPS only (http:// on loopback, for a trial).",
            "Serve it with --tls-cert and --tls-key, or behind a proxy.",
        )
