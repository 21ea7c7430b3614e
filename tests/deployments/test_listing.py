"""Which deployment a text names, and the query that finds them."""

from __future__ import annotations

import pytest

from towline.deployments.listing import active_id, only_id, visibility_query
from towline.errors import Conflict, InvalidInput, NotFound
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment


def listed(deployment_id: str, status: str, start: str, close: str = "") -> ListedDeployment:
    return ListedDeployment(deployment_id, "shop", "web", status, "", start, close)


CHOICES = [
    (
        "the one in progress, not the one that waits",
        [listed("d-2", "Queued", "2"), listed("d-1", "InProgress", "1")],
        "d-1",
    ),
    (
        "the rollback, not the one that waits for it",
        [listed("d-2", "InProgress", "2"), listed("d-1", "Failed", "1")],
        "d-2",
    ),
    (
        "an open one, not a newer closed one",
        [listed("d-2", "Succeeded", "2", "3"), listed("d-1", "Queued", "1")],
        "d-1",
    ),
    ("none where all have ended", [listed("d-2", "Failed", "2", "3"), listed("d-1", "Succeeded", "1", "2")], ""),
]


@pytest.mark.parametrize(("found", "means"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_which_deployment_of_a_group_is_the_active_one(found: list[ListedDeployment], means: str) -> None:
    assert active_id(found) == means


def test_a_beginning_must_be_unique() -> None:
    assert only_id("d-1", ["d-12"]) == "d-12"
    assert only_id("d-1", ["d-1", "d-12"]) == "d-1"
    with pytest.raises(Conflict, match="is ambiguous: d-12, d-13"):
        only_id("d-1", ["d-12", "d-13"])
    with pytest.raises(NotFound, match="towline list"):
        only_id("d-9", [])


def test_a_quote_does_not_get_into_the_query() -> None:
    with pytest.raises(InvalidInput):
        visibility_query(DeploymentFilter(application="x' OR WorkflowType = 'y"))
    assert (
        visibility_query(DeploymentFilter(application="shop", with_refused=True))
        == "WorkflowType = 'Deployment' AND TowlineApplication = 'shop'"
    )
