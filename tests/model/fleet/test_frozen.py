"""The frozen fleet: what an undo expects to find on each host, by the group's memory."""

from __future__ import annotations

import pytest

from towline.model.deployment.status import Creator, Outcome
from towline.model.fleet.frozen import freeze
from towline.model.fleet.instance import FakeAccess, Target
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeploymentOrder, Undo
from towline.model.messages.fleet import ReadFleet
from towline.model.messages.group import InstanceState

GROUP = DeploymentGroup(application_name="shop", deployment_group_name="web")


def request(undo: Undo | None) -> ReadFleet:
    order = DeploymentOrder(
        deployment_id="d-back", run_id="r", application="shop", group="web",
        group_id=GROUP.deployment_group_id, creator=Creator.ROLLBACK, undo=undo,
    )  # fmt: skip
    return ReadFleet(order=order, group=GROUP)


def remembered(outcome: Outcome, deployment: str) -> InstanceState:
    return InstanceState(outcome=outcome, deployment_id=deployment, revision="runs", before="before")


EXPECTED = [
    ("it succeeded there: what ran before", remembered(Outcome.SUCCEEDED, "d-2"), "before"),
    (
        "it failed there: what ran before, whatever the host says that it runs now",
        remembered(Outcome.FAILED, "d-2"),
        "before",
    ),
    ("it was terminated, and the group has not heard of it", remembered(Outcome.SUCCEEDED, "d-1"), "runs"),
    ("nothing is known", None, ""),
]


@pytest.mark.parametrize(("state", "expected"), [row[1:] for row in EXPECTED], ids=[row[0] for row in EXPECTED])
def test_what_an_undo_expects(state: InstanceState | None, expected: str) -> None:
    targets = {"web-01": Target(name="web-01", access=FakeAccess())}
    states = {"web-01": state} if state else {}
    for undo, wanted in ((Undo(deployment_id="d-2"), expected), (None, "")):
        pages = freeze(request(undo), targets, states, None).pages.values()
        assert [target.expected for page in pages for target in page.targets] == [wanted]
