"""What is exported and applied again changes nothing."""

from __future__ import annotations

import pytest
import yaml

from towline.model.catalogue.changes import diff
from towline.model.catalogue.records import Record
from towline.model.manifest.export import as_yaml, manifest_of
from towline.model.manifest.parser import parse_manifest

MANIFEST = """
owner: team-web
applications:
  - applicationName: shop
    deploymentGroups:
      - deploymentGroupName: production
        deploymentConfigName: half
        onPremisesInstanceTagFilters: [{Key: role, Value: "yes", Type: KEY_AND_VALUE}, {Key: "1.10", Type: KEY_ONLY}]
        where: {env: production}
        autoRollbackConfiguration: {enabled: true, events: [DEPLOYMENT_FAILURE]}
        timeoutSeconds: 600
        gitHubToken: env:TOKEN
      - deploymentGroupName: everything
        deploymentConfigName: CodeDeployDefault.AllAtOnce
        ec2TagSet: {ec2TagSetList: [[{Key: a, Value: b, Type: KEY_AND_VALUE}], [{Value: c, Type: VALUE_ONLY}]]}
        autoScalingGroups: [blue, green]
        deploymentGroupId: 11111111-2222-3333-4444-555555555555
  - applicationName: empty
deploymentConfigs:
  - {deploymentConfigName: half, minimumHealthyHosts: {type: FLEET_PERCENT, value: 50}}
  - deploymentConfigName: zonal
    minimumHealthyHosts: {type: HOST_COUNT, value: 1}
    zonalConfig: {monitorDurationInSeconds: 5}
ssh:
  default: {username: deploy, identityFile: /keys/id, knownHostsFile: /keys/known}
  dc1: {proxyJump: {host: bastion, username: jump}, port: 2222}
instances:
  - {instanceName: "web-[09:11]", zone: a, tags: {role: "yes", note: "ü: #1"}, ssh: {use: dc1, host: "{name}.dc1"}}
  - {instanceName: local-1, local: {root: ./hosts/1}}
  - {instanceName: away, paused: true}
ec2:
  - {region: eu-west-1, ssh: {use: default, address: privateIpAddress}}
"""


def catalogue(text: str) -> dict[str, Record]:
    manifest = parse_manifest(text, folder="/srv", host="here")
    assert not manifest.errors, manifest.errors
    changes = diff(manifest.records, {}, manifest.owners)
    return {key: Record(key=key, value=value, version=1) for key, value in changes.after.items()}


def test_what_is_exported_and_applied_again_changes_nothing() -> None:
    records = catalogue(MANIFEST)
    text = as_yaml(manifest_of({key: record.value for key, record in records.items()}))
    again = parse_manifest(text, folder="/elsewhere", host="elsewhere")
    assert not again.errors
    changes = diff(again.records, records, again.owners, prune=False)
    assert not changes.changes and changes.unchanged == len(records)


def test_sections_are_in_natural_order_and_empty_ones_are_left_out() -> None:
    manifest = manifest_of({key: record.value for key, record in catalogue(MANIFEST).items()})
    assert list(manifest) == ["applications", "deploymentConfigs", "ssh", "instances", "ec2"]
    assert [one["instanceName"] for one in manifest["instances"]] == ["away", "local-1", "web-09", "web-10", "web-11"]
    assert manifest["instances"][2]["ssh"] == {"use": "dc1", "host": "web-09.dc1"}
    assert manifest_of({}) == {}


@pytest.mark.parametrize(
    "text", ["yes", "1.10", "0644", "null", "2026-01-01", "a: b", "- x", "#", " ", "é\u00a0", "=", "~"]
)
def test_text_that_yaml_would_read_otherwise_stays_text(text: str) -> None:
    assert yaml.safe_load(as_yaml({"tags": {text: text}})) == {"tags": {text: text}}
