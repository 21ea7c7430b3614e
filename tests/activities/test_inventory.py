"""Reading a group and freezing its fleet: real catalogue and Temporal; EC2 and Auto Scaling by moto."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.inventory import InventoryActivities
from tests.harness.s3 import s3_server, use_aws
from tests.harness.temporal import TemporalServer, running_worker
from towline.catalogue.repository import Catalogue
from towline.errors import InvalidInput, NotFound
from towline.model import names
from towline.model.catalogue.changes import APPLIED, diff
from towline.model.catalogue.records import Change
from towline.model.deployment.status import Creator, Outcome
from towline.model.deployment.store_keys import instance_key, order_key
from towline.model.fleet.ec2_members import AskEc2
from towline.model.fleet.instance import Target
from towline.model.fleet.ssh_paths import CheckPaths
from towline.model.fleet.targets import Ec2Source
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.parser import parse_manifest
from towline.model.messages.deploy import DeploymentOrder, ReadGroup, Undo
from towline.model.messages.fleet import Fleet, FleetPage, ReadFleet
from towline.model.messages.group import GroupView, InstanceState, StatesPage
from towline.model.messages.instance import InstanceOutcome, InstanceReport
from towline.store import Store, open_store
from workflows.catalogue import CatalogueWorkflow

pytestmark = pytest.mark.slow

AMI = "ami-12c6146b"  # one of those that moto always has

MANIFEST = """
applications:
  - applicationName: shop
    deploymentGroups:
      - deploymentGroupName: production
        onPremisesInstanceTagFilters: [{Key: role, Value: web}]
        where: {env: production}
      - deploymentGroupName: cloud
        ec2TagFilters: [{Key: role, Value: web}]
        autoScalingGroups: [web-asg]
        where: {env: production}
      - {deploymentGroupName: typo, autoScalingGroups: [web-agS]}
      - {deploymentGroupName: fast, deploymentConfigName: half, onPremisesInstanceTagFilters: [{Key: x}]}
deploymentConfigs:
  - {deploymentConfigName: half, minimumHealthyHosts: {type: FLEET_PERCENT, value: 50}}
ssh:
  default: {username: deploy, identityFile: /k/default, port: 2222}
  dc1: {proxyJump: {host: bastion.dc1}, identityFile: /k/dc1, host: "{name}.dc1"}
instances:
  - {instanceName: "web-[1:4]", zone: a, tags: {role: web, env: production}, ssh: {use: dc1}}
  - {instanceName: "web-[5:6]", zone: b, tags: {role: web, env: production}, ssh: {host: "10.0.0.{name}", port: 22}}
  - {instanceName: test-1, tags: {role: web, env: test}}
  - {instanceName: local-1, tags: {role: local}, local: {root: ./h, host: laptop}}
"""


@workflow.defn(name=names.GROUP, sandboxed=False)
class RememberingGroup:
    """Stands in for the group's workflow: answers its queries from its input."""

    @workflow.run
    async def run(self, states: dict[str, InstanceState]) -> None:
        self._states = states
        await workflow.wait_condition(lambda: False)

    @workflow.query(name=names.STATUS)
    def status(self) -> GroupView:
        return GroupView(application="shop", group="production", group_id="g", revision="s3://b/new", sha256="new")

    @workflow.query
    def states(self, page: StatesPage) -> dict[str, InstanceState]:
        found = sorted(name for name in self._states if name > page.after)[: page.limit]
        return {name: self._states[name] for name in found}


@pytest_asyncio.fixture
async def client(temporal: TemporalServer) -> AsyncIterator[Client]:
    client = await temporal.new_namespace()
    workflows = [CatalogueWorkflow, RememberingGroup]
    async with running_worker(client, workflows=workflows, task_queue=names.TASK_QUEUE):
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest_asyncio.fixture
async def inventory(client: Client, store: Store) -> InventoryActivities:
    await declare(client, MANIFEST)
    return InventoryActivities(client, store)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server() as address:
        use_aws(monkeypatch, address)
        yield address


async def declare(client: Client, text: str) -> None:
    manifest = parse_manifest(text, folder="/srv")
    assert manifest.errors == []
    catalogue = Catalogue(client)
    changes = diff(manifest.records, await catalogue.read_all(*APPLIED)).changes
    await catalogue.write([change.change for change in changes])


async def group(client: Client, name: str) -> DeploymentGroup:
    found = await Catalogue(client).group("shop", name)
    assert found
    return found


async def remember(client: Client, declared: DeploymentGroup, states: dict[str, InstanceState]) -> None:
    await client.start_workflow(
        names.GROUP,
        states,
        id=names.group_workflow_id(declared.deployment_group_id),
        task_queue=names.TASK_QUEUE,
        task_timeout=timedelta(seconds=5),
    )


def request(declared: DeploymentGroup, **fields: Any) -> ReadFleet:
    order: dict[str, Any] = {"deployment_id": "d-1", "run_id": "r-1", **fields.pop("order", {})}
    ids = {"application": "shop", "group": declared.deployment_group_name, "group_id": declared.deployment_group_id}
    return ReadFleet(order=DeploymentOrder(**ids, **order), group=declared, **fields)


def targets(store: Store, fleet: Fleet) -> dict[str, Target]:
    pages = {member.page for member in fleet.members}
    read = [FleetPage.model_validate_json(store.get(page)) for page in pages]
    return {target.name: target for page in read for target in page.targets}


def order(fleet: Fleet) -> list[str]:
    return [member.name for member in fleet.members]


# ── the group ──


async def test_a_group_comes_with_the_configuration_in_force(inventory: InventoryActivities) -> None:
    facts = await inventory.read_group(ReadGroup(application="shop", group="fast"))
    assert facts.group.deployment_group_name == "fast"
    assert facts.config.minimum_healthy_hosts.value == 50
    asked = ReadGroup(application="shop", group="fast", config_name="CodeDeployDefault.AllAtOnce")
    assert (await inventory.read_group(asked)).config.minimum_healthy_hosts.value == 0


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (ReadGroup(application="shpo", group="production"), "APPLICATION_MISSING", "Did you mean shop?"),
        (ReadGroup(application="shop", group="prodction"), "DEPLOYMENT_GROUP_MISSING", "Did you mean production?"),
        (
            ReadGroup(application="shop", group="fast", config_name="halve"),
            "DeploymentConfigDoesNotExistException",
            "Did you mean half?",
        ),
    ],
)
async def test_what_does_not_exist_ends_with_the_near_names(
    inventory: InventoryActivities, asked: ReadGroup, code: str, message: str
) -> None:
    with pytest.raises(ApplicationError, match=message.replace("?", r"\?")) as error:
        await inventory.read_group(asked)
    assert (error.value.type, error.value.non_retryable) == (code, True)


# ── declared instances ──


async def test_a_first_fleet_is_frozen_with_complete_targets(
    client: Client, inventory: InventoryActivities, store: Store
) -> None:
    asked = request(await group(client, "production"), page_size=4)
    fleet = await inventory.read_fleet(asked)
    assert order(fleet) == ["web-1", "web-5", "web-2", "web-6", "web-3", "web-4"]
    assert [member.page.rsplit("/")[-1] for member in fleet.members] == ["0.json"] * 4 + ["1.json"] * 2
    assert {member.rank for member in fleet.members} == {2}
    assert not any(member.is_healthy for member in fleet.members)
    found = targets(store, fleet)
    assert found["web-1"].ssh and found["web-5"].ssh
    assert found["web-1"].ssh.model_dump(exclude_none=True) == {
        "transport": "ssh",
        "host": "web-1.dc1",
        "port": 2222,
        "username": "deploy",
        "identity_file": "/k/dc1",
        "proxy_jump": {"host": "bastion.dc1", "port": 22},
    }
    assert (found["web-5"].ssh.host, found["web-5"].ssh.port) == ("10.0.0.web-5", 22)
    assert DeploymentOrder.model_validate_json(store.get(order_key("d-1"))) == asked.order


async def test_ranks_come_from_what_the_group_remembers(client: Client, inventory: InventoryActivities) -> None:
    declared = await group(client, "production")

    def state(outcome: Outcome, sha: str, **more: bool) -> InstanceState:
        return InstanceState(outcome=outcome, deployment_id="d-0", sha256=sha, revision=f"s3://b/{sha}", **more)

    await remember(
        client,
        declared,
        {
            "web-1": state(Outcome.SUCCEEDED, "new", is_healthy=True),
            "web-2": state(Outcome.SUCCEEDED, "old", is_healthy=True),
            "web-3": state(Outcome.FAILED, "old"),
            "web-4": state(Outcome.NOT_RESTORED, "old", not_restored=True),
            "gone": state(Outcome.FAILED, "old"),
        },
    )
    fleet = await inventory.read_fleet(request(declared))
    assert order(fleet) == ["web-4", "web-3", "web-5", "web-6", "web-2", "web-1"]
    assert [member.rank for member in fleet.members] == [0, 1, 2, 2, 3, 4]
    assert [member.name for member in fleet.members if member.is_healthy] == ["web-2", "web-1"]
    assert fleet.previous_revision == "s3://b/new"


async def test_local_instances_go_to_their_machines_queue(client: Client, inventory: InventoryActivities) -> None:
    text = (
        "applications: [{applicationName: shop, deploymentGroups: [{deploymentGroupName: here,"
        " onPremisesInstanceTagFilters: [{Key: role, Value: local}]}]}]"
    )
    await declare(client, text)
    fleet = await inventory.read_fleet(request(await group(client, "here")))
    (member,) = fleet.members
    assert (member.queue, member.address) == ("towline@laptop", "/srv/h")


async def test_a_host_under_two_names_is_one_instance_with_a_warning(
    client: Client, inventory: InventoryActivities
) -> None:
    text = (
        "applications: [{applicationName: shop, deploymentGroups: [{deploymentGroupName: twice,"
        " onPremisesInstanceTagFilters: [{Key: role, Value: twice}]}]}]\n"
        "instances: [{instanceName: t1, tags: {role: twice}, ssh: {host: 10.9.9.1}},"
        " {instanceName: t2, tags: {role: twice}, ssh: {host: 10.9.9.1}}]"
    )
    await declare(client, text)
    fleet = await inventory.read_fleet(request(await group(client, "twice")))
    assert [member.name for member in fleet.members] == ["t1"]
    assert fleet.warnings == ("t1 and t2 are one host: 10.9.9.1 port 2222; it is deployed to once, as t1",)


async def test_ten_thousand_instances_fit_into_one_payload(client: Client, store: Store) -> None:
    text = (
        "applications: [{applicationName: shop, deploymentGroups: [{deploymentGroupName: big,"
        " onPremisesInstanceTagFilters: [{Key: role, Type: KEY_ONLY}]}]}]\n"
        'instances: [{instanceName: "production-web-[00001:10000]", zone: eu-west-1a, tags: {role: web},'
        ' ssh: {host: "{name}.a-rather-long-name-of-a-zone.internal.example.com"}}]'
    )
    await declare(client, text)
    fleet = await InventoryActivities(client, store).read_fleet(request(await group(client, "big")))
    assert len(fleet.members) == 10_000
    assert len({member.page for member in fleet.members}) == 40
    assert len(fleet.model_dump_json()) < 2 * 1024 * 1024
    assert len(targets(store, fleet)) == 10_000


# ── undo ──


async def test_more_instances_than_a_payload_can_name_are_refused_before_anything_is_written(
    client: Client, store: Store, inventory: InventoryActivities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.inventory.LARGEST_FLEET_BYTES", 500)
    with pytest.raises(InvalidInput, match=r"shop/production has 6 instances, more than one deployment can carry"):
        await inventory.fleet(request(await group(client, "production")))
    assert not list(store.keys("deployments/"))


async def test_an_undo_reaches_the_touched_ones_wherever_they_went(
    client: Client, inventory: InventoryActivities, store: Store
) -> None:
    declared = await group(client, "production")
    fleet = await inventory.read_fleet(request(declared))
    for name in order(fleet):
        outcome = InstanceOutcome(
            instance=name, outcome=Outcome.FAILED, was_touched=name in ("web-1", "web-2", "web-3")
        )
        report = InstanceReport(outcome=outcome)
        store.put(instance_key("d-1", name), report.model_dump_json().encode())
    catalogue = Catalogue(client)
    records = await catalogue.read(["instance/web-1", "instance/web-2"])
    moved = {**records["instance/web-2"].value, "tags": {}, "ssh": {"host": "elsewhere"}}
    one, two = records["instance/web-1"], records["instance/web-2"]
    await catalogue.write(
        [
            Change(key=one.key, version=one.version),
            Change(key=two.key, version=two.version, value=moved),
        ]
    )
    undo = Undo(deployment_id="d-1", failed=("web-3",))
    asked = request(
        declared, order={"deployment_id": "d-2", "creator": Creator.ROLLBACK, "undo": undo}, first=undo.failed
    )
    back = await inventory.read_fleet(asked)
    assert order(back) == ["web-3", "web-1", "web-2"]
    found = targets(store, back)
    assert {name: target.address for name, target in found.items()} == {
        "web-1": "web-1.dc1",
        "web-2": "elsewhere",
        "web-3": "web-3.dc1",
    }
    some = await inventory.read_fleet(asked.model_copy(update={"only": ("web-1", "nobody")}))
    assert order(some) == ["web-1"]
    assert "nobody is unknown" in some.warnings[0]


async def test_an_undo_of_what_nobody_knows_says_so(client: Client, inventory: InventoryActivities) -> None:
    undo = Undo(deployment_id="d-unknown")
    asked = request(await group(client, "production"), order={"undo": undo})
    with pytest.raises(NotFound, match="d-unknown"):
        await inventory.fleet(asked)


# ── EC2 ──


def launch(endpoint: str, count: int = 1, **tags: str) -> list[str]:
    ec2: Any = boto3.client("ec2", region_name="eu-west-1", endpoint_url=endpoint)
    specification = {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    answer = ec2.run_instances(ImageId=AMI, MinCount=count, MaxCount=count, TagSpecifications=[specification])
    return [instance["InstanceId"] for instance in answer["Instances"]]


def scale(endpoint: str, name: str, count: int, **tags: str) -> list[str]:
    client: Any = boto3.client("autoscaling", region_name="eu-west-1", endpoint_url=endpoint)
    client.create_launch_configuration(LaunchConfigurationName=name, ImageId=AMI, InstanceType="t3.micro")
    client.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchConfigurationName=name,
        MinSize=count,
        MaxSize=count,
        AvailabilityZones=["eu-west-1a"],
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
    )
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    return [instance["InstanceId"] for instance in found["Instances"]]


EC2 = "ec2: [{region: eu-west-1, ssh: {use: dc1, address: privateIpAddress, username: ec2-user}}]"


async def test_ec2_by_tags_and_auto_scaling_narrowed_by_where(
    client: Client, inventory: InventoryActivities, store: Store, endpoint: str
) -> None:
    await declare(client, EC2)
    wanted = launch(endpoint, 2, role="web", env="production")
    scaled = scale(endpoint, "web-asg", 2, env="production")
    launch(endpoint, role="web", env="test")
    launch(endpoint, role="db", env="production")
    (stopped,) = launch(endpoint, role="web", env="production")
    (dead,) = launch(endpoint, role="web", env="production")
    ec2: Any = boto3.client("ec2", region_name="eu-west-1", endpoint_url=endpoint)
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.terminate_instances(InstanceIds=[dead])
    fleet = await inventory.read_fleet(request(await group(client, "cloud")))
    assert sorted(order(fleet)) == sorted([*wanted, *scaled, stopped])
    assert fleet.warnings == (f"{stopped} is stopped",)
    target = targets(store, fleet)[wanted[0]]
    described = ec2.describe_instances(InstanceIds=[wanted[0]])["Reservations"][0]["Instances"][0]
    assert target.ssh
    assert target.ssh.host == described["PrivateIpAddress"]
    assert (target.ssh.username, target.ssh.identity_file) == ("ec2-user", "/k/dc1")
    assert target.zone == described["Placement"]["AvailabilityZone"]


async def test_who_is_in_a_group_on_ec2_is_told_before_anybody_deploys(
    client: Client, inventory: InventoryActivities, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = launch(endpoint, 2, role="web", env="production")
    launch(endpoint, role="db", env="production")
    question = AskEc2(groups=(await group(client, "cloud"),), sources=(Ec2Source(region="eu-west-1"),))
    asked = AskEc2.model_validate(question.model_dump(mode="json", by_alias=True))
    (found,) = (await inventory.find_ec2_members(asked)).groups
    assert {one.name for one in found.members} >= set(wanted)
    assert all(one.zone and one.address for one in found.members if one.name in wanted)
    assert (found.group, found.problem) == ("shop/cloud", "")
    (nowhere,) = (await inventory.find_ec2_members(asked.model_copy(update={"sources": ()}))).groups
    assert "no region is declared" in nowhere.problem
    use_aws(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (unseen,) = (await inventory.find_ec2_members(asked)).groups
    assert "in eu-west-1: Could not connect" in unseen.problem and not unseen.members


async def test_an_unknown_auto_scaling_group_is_an_error(
    client: Client, inventory: InventoryActivities, endpoint: str
) -> None:
    await declare(client, EC2)
    with pytest.raises(NotFound, match="no Auto Scaling group web-agS"):
        await inventory.fleet(request(await group(client, "typo")))


async def test_ec2_without_a_region_says_what_to_declare(client: Client, inventory: InventoryActivities) -> None:
    with pytest.raises(InvalidInput, match="ec2: "):
        await inventory.fleet(request(await group(client, "cloud")))


async def test_aws_out_of_reach_is_our_fault_and_tried_again(
    client: Client, inventory: InventoryActivities, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(client, EC2)
    use_aws(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ApplicationError) as error:
        await inventory.read_fleet(request(await group(client, "cloud")))
    assert (error.value.type, error.value.non_retryable) == ("OurFault", False)


# ── paths ──


async def test_paths_are_those_of_the_worker(
    inventory: InventoryActivities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("x")
    answer = await inventory.check_paths(CheckPaths(paths=("~/key", "~/none", "relative")))
    assert [(finding.resolved, finding.problem) for finding in answer.findings[:2]] == [
        (str(tmp_path / "key"), ""),
        (str(tmp_path / "none"), "is missing"),
    ]
    assert answer.findings[2].problem == "is not absolute"
    assert json.loads(answer.model_dump_json())["worker"]
