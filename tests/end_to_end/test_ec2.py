"""A group of EC2 instances, end to end: found by tags through EC2's API, reached by SSH at their private addresses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.harness.fleet.box import Fleet
from tests.harness.s3 import aws_environ, s3_server
from tests.harness.site import running_site
from tests.harness.temporal import TemporalServer

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(180)]

AMI = "ami-12c6146b"


def launch(endpoint: str, fleet: Fleet, role: str) -> dict[str, str]:
    """An EC2 instance for each host, at the host's address, and one more that has other tags; by host name."""
    ec2: Any = boto3.client(
        "ec2", endpoint_url=endpoint, aws_access_key_id="t", aws_secret_access_key="t", region_name="eu-west-1"
    )
    vpc = ec2.create_vpc(CidrBlock="10.213.0.0/16")["Vpc"]["VpcId"]
    network = next(iter(fleet)).address.rsplit(".", 1)[0]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"{network}.0/24")["Subnet"]["SubnetId"]

    def run(address: str, value: str) -> str:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": value}]}]
        words = {"SubnetId": subnet, "PrivateIpAddress": address, "TagSpecifications": tags}
        return str(ec2.run_instances(ImageId=AMI, MinCount=1, MaxCount=1, **words)["Instances"][0]["InstanceId"])

    run(f"{network}.200", "db")
    return {host.name: run(host.address, role) for host in fleet}


async def test_a_group_by_ec2_tags_is_deployed_to_over_ssh(
    temporal: TemporalServer, new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(2)
    with s3_server() as endpoint:
        # moto keeps one AWS for the whole process: other tests have instances in it, whose addresses are nobody's.
        role = f"web-{uuid.uuid4().hex}"
        ids = launch(endpoint, fleet, role)
        async with running_site(temporal, tmp_path, **aws_environ(endpoint)) as site:
            manifest = tmp_path / "towline.yaml"
            manifest.write_text(
                "applications:\n"
                "  - applicationName: shop\n"
                "    deploymentGroups:\n"
                "      - deploymentGroupName: cloud\n"
                "        deploymentConfigName: CodeDeployDefault.OneAtATime\n"
                f"        ec2TagFilters: [{{Key: role, Value: {role}, Type: KEY_AND_VALUE}}]\n"
                "ssh:\n"
                f"  default: {{username: root, identityFile: {fleet.key}, knownHostsFile: {fleet.known_hosts}}}\n"
                "ec2:\n"
                "  - {region: eu-west-1, ssh: {use: default, address: privateIpAddress}}\n"
            )
            applied = await site.towline("apply", "-f", str(manifest), "--yes")
            assert applied.status == 0, applied.err
            done = await site.towline("deploy", "shop", "cloud", "--revision", str(site.bundle("e1")), "--json")
            assert done.status == 0, done.err
            targets = [target["instanceTarget"] for target in done.json["deploymentTargets"]]
            assert {target["targetId"]: target["status"] for target in targets} == dict.fromkeys(
                ids.values(), "Succeeded"
            )
            assert [host.read("/srv/shop/index.html") for host in fleet] == ["e1\n", "e1\n"]
            listed = await site.towline("instances", "shop/cloud")
            assert all(instance in listed.out for instance in ids.values()), listed.err
            log = site.workers[0].log.read_text()
            assert len(log.splitlines()) < 10, log  # libraries would tell of every connection
