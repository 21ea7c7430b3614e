"""Which requests are the same: by their own members, and by what a report has kept of them."""

from __future__ import annotations

from unittest.mock import sentinel

from tests.deployments.requests import request
from towline.deployments.ids import check_deployment_id, new_deployment_id
from towline.deployments.start import is_same_request
from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.report import DeploymentReport
from towline.model.deployment.request import fingerprint
from towline.model.messages.deploy import DeployRequest


def test_the_same_parameters_have_the_same_fingerprint_however_they_came() -> None:
    plain = {
        "applicationName": "shop",
        "deploymentGroupName": "web",
        "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k.tgz", "bundleType": "tgz"}},
        "ifBusy": "wait",
    }
    assert fingerprint(DeployRequest.model_validate(plain)) == fingerprint(request())
    assert fingerprint(request(description="x")) != fingerprint(request())


def test_a_report_is_of_the_same_request_by_the_rule_of_a_deployment_that_temporal_knows() -> None:
    report = DeploymentReport(sentinel.view, request_fingerprint=fingerprint(request()))
    assert is_same_request(report, request())
    assert is_same_request(report, request(requested_by="ann@ci"))
    assert not is_same_request(report, request(revision=RevisionLocation.parse("s3://b/k.tgz?versionId=8")))
    assert not is_same_request(report, request(description="other"))
    assert not is_same_request(report, request(file_exists_behavior="OVERWRITE"))
    assert not is_same_request(DeploymentReport(sentinel.view), request())


def test_a_new_id_is_an_id() -> None:
    ids = {new_deployment_id() for _ in range(50)}
    assert len(ids) == 50
    for one in ids:
        check_deployment_id(one)
