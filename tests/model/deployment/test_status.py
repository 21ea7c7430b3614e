"""Every code that a deployment can end with is one that CodeDeploy's clients know, or is documented."""

from __future__ import annotations

from collections.abc import Iterator

import botocore.session
import pytest
from temporalio.exceptions import ApplicationError

from tests.harness import ROOT
from towline import errors
from towline.deployments.final_view import view_of_failure
from towline.model.deployment.status import ErrorCode, deployment_error

MODEL = botocore.session.get_session().get_service_model("codedeploy", api_version="2014-10-06")
KNOWN = set(MODEL.shape_for("ErrorCode").metadata["enum"])
DOCS = (ROOT / "docs" / "commands.md").read_text()
OURS = {ErrorCode.INVALID_REQUEST, ErrorCode.DEPLOYMENT_LIMIT, ErrorCode.CONFIG_MISSING, ErrorCode.NOT_BUILT}


def kinds(base: type[errors.TowlineError] = errors.TowlineError) -> Iterator[str]:
    """The codes of all of towline's errors, which is what activities fail as."""
    yield base.code
    for kind in base.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_codedeploys_or_documented(code: ErrorCode) -> None:
    assert (code in OURS) != (code.value in KNOWN)
    assert code not in OURS or f"`{code.value}`" in DOCS
    if code.value.endswith("Exception"):
        assert code.value in {shape.name for shape in MODEL.operation_model("CreateDeployment").error_shapes}


@pytest.mark.parametrize("of_revision", [False, True])
@pytest.mark.parametrize("kind", [*kinds(), "IdentityFileUnusable", "DeploymentFailed", ""])
def test_whatever_ends_a_deployment_has_such_a_code(kind: str, of_revision: bool) -> None:
    assert isinstance(deployment_error(kind, of_revision=of_revision), ErrorCode)
    info = view_of_failure("d-1", ApplicationError("m", type=kind)).info
    assert info.error_code in KNOWN | OURS


CASES = [
    ("NotFound", True, "REVISION_MISSING"),
    ("InvalidBundle", True, "INVALID_REVISION"),
    ("InvalidAppSpec", True, "INVALID_REVISION"),
    ("InvalidInput", True, "INVALID_REVISION"),  # archived in Glacier; a bucket that cannot exist
    ("NotFound", False, "CODEDEPLOY_RESOURCE_CANNOT_BE_FOUND"),
    ("InvalidInput", False, "InvalidRequest"),
    ("APPLICATION_MISSING", False, "APPLICATION_MISSING"),
    ("OurFault", True, "INTERNAL_ERROR"),
]


@pytest.mark.parametrize(("kind", "of_revision", "code"), CASES)
def test_what_was_met_decides(kind: str, of_revision: bool, code: str) -> None:
    assert deployment_error(kind, of_revision=of_revision) == code
