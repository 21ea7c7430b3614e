"""Which requests are the same: by their own members, and by what a report has kept of them."""

from __future__ import annotations

from tests.deployments.requests import request
from towline.deployments.ids import check_deployment_id, new_deployment_id
from towline.deployments.start import fingerprint, is_same_request
from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.status import DeploymentStatus
from towline.model.deployment.view import deployment_info
from towline.model.messages import DeployRequest


def test_the_same_parameters_have_the_same_fingerprint_however_they_came() -> None:
    plain = {
        "applicationName": "shop",
        "deploymentGroupName": "web",
        "revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k.tgz", "bundleType": "tgz"}},
        "ifBusy": "wait",
    }
    assert fingerprint(DeployRequest.model_validate(plain)) == fingerprint(request())
    assert fingerprint(request(description="x")) != fingerprint(request())


def test_a_report_is_compared_by_its_pinned_revision() -> None:
    pinned = RevisionLocation.parse("s3://b/k.tgz?versionId=7&etag=abc")
    info = deployment_info(
        request(),
        deployment_id="d-1",
        status=DeploymentStatus.SUCCEEDED,
        create_time="2025-01-01T00:00:00Z",
        revision=pinned,
    )
    assert is_same_request(info, request())
    assert not is_same_request(info, request(revision=RevisionLocation.parse("s3://b/k.tgz?versionId=8")))
    assert not is_same_request(info, request(description="other"))
    assert not is_same_request(info, request(deployment_group_name="other"))


def test_a_new_id_is_an_id() -> None:
    ids = {new_deployment_id() for _ in range(50)}
    assert len(ids) == 50
    for one in ids:
        check_deployment_id(one)
