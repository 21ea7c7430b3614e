"""Which deployments can be rolled back, and what is then requested."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployments.requests import request
from towline.creator import Who
from towline.deployments.rollback import check_can_roll_back, check_still_runs, rollback_request
from towline.errors import Conflict, InvalidInput
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import DeploymentStatus
from towline.model.deployment.view import with_request
from towline.model.messages.deploy import Undo
from towline.model.messages.view import DeploymentView, Progress


def view(deployment_id: str = "d-1", began: str = "2025-01-01T00:00:00Z", **members: Any) -> DeploymentView:
    progress = {name: members.pop(name) for name in ("touched", "is_whole", "slots") if name in members}
    undone = members.pop("undoes", "")
    info = DeploymentInfo(
        deployment_id=deployment_id,
        status=DeploymentStatus.SUCCEEDED,
        create_time=began,
        **members,
    )
    asked = request(revision=None, undo=Undo(deployment_id=undone)) if undone else request()
    return DeploymentView(info=with_request(info, asked), progress=Progress(**{"touched": 2, **progress}))


REFUSED = [
    ("an open one", view(), True, Conflict, "has not ended yet"),
    ("a rollback", view(undoes="d-0"), False, InvalidInput, "is a rollback itself"),
    ("one that touched nothing", view(touched=0), False, Conflict, "touched no instance"),
]


@pytest.mark.parametrize(
    ("one", "is_open", "error", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_cannot_be_rolled_back(one: DeploymentView, is_open: bool, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        check_can_roll_back(one, is_open=is_open)


def test_one_that_may_have_touched_instances_can_be_rolled_back() -> None:
    check_can_roll_back(view(), is_open=False)
    check_can_roll_back(view(touched=0, is_whole=False), is_open=False)


LATER = view("d-2", "2025-01-02T00:00:00Z")
EARLIER = view("d-0", "2024-12-31T00:00:00Z")
TRIED = view("d-3", "2025-01-03T00:00:00Z", undoes="d-1")


def test_what_others_followed_on_every_instance_is_refused() -> None:
    with pytest.raises(Conflict, match="d-1 is not what runs in shop/web any more: d-2 followed it"):
        check_still_runs(view(), [LATER])


STILL = [
    ("nothing is known", []),
    ("one is not known", [LATER, None]),
    ("the group remembers only those before it", [EARLIER]),
    ("one was before it", [LATER, EARLIER]),
    ("a rollback of it, which may be tried again", [TRIED]),
]


@pytest.mark.parametrize("followers", [row[1] for row in STILL], ids=[row[0] for row in STILL])
def test_where_others_may_not_have_followed_the_hosts_decide(followers: list[DeploymentView | None]) -> None:
    check_still_runs(view(), followers)


def test_a_rollback_names_run_slots_and_who_failed() -> None:
    asked = rollback_request(view(slots=3, deployment_config_name="three"), "run-1", Who("ada", "https://ci/7"))
    assert asked.undo and (asked.undo.deployment_id, asked.undo.run_id, asked.undo.slots) == ("d-1", "run-1", 3)
    assert (asked.deployment_config_name, asked.description) == ("three", "Rollback of d-1")
    assert (asked.requested_by, asked.requested_from) == ("ada", "https://ci/7")
