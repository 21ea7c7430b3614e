"""Who asked for a deployment: by the environment of a person's terminal, and of CI systems."""

from __future__ import annotations

from typing import Any

import pytest

from towline.creator import MOST, Who, who, whoami
from towline.model.deployment.request import fingerprint
from towline.model.messages.deploy import DeployRequest

GITHUB = {
    "GITHUB_ACTOR": "ada",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "ex/shop",
    "GITHUB_RUN_ID": "77",
}
RUNS = [
    ("a terminal", {}, Who(whoami())),
    ("GitHub", GITHUB, Who(f"ada ({whoami()})", "https://github.com/ex/shop/actions/runs/77")),
    (
        "GitLab",
        {"GITLAB_USER_LOGIN": "ada", "CI_JOB_URL": "https://git.ex/shop/-/jobs/7"},
        Who(f"ada ({whoami()})", "https://git.ex/shop/-/jobs/7"),
    ),
    ("Jenkins", {"BUILD_URL": "https://ci.ex/job/shop/7/"}, Who(whoami(), "https://ci.ex/job/shop/7/")),
    ("a password in the address", {"BUILD_URL": "https://ada:secret@ci.ex/7"}, Who(whoami(), "https://ci.ex/7")),
    ("half of GitHub's", {"GITHUB_RUN_ID": "77"}, Who(whoami())),
    ("no text", {"BUILD_URL": "https://\udcff"}, Who(whoami(), "https://?")),
]


@pytest.mark.parametrize(("environ", "expected"), [row[1:] for row in RUNS], ids=[row[0] for row in RUNS])
def test_who_asks(environ: dict[str, str], expected: Who) -> None:
    assert who(environ) == expected


def test_what_is_recorded_fits_into_a_request() -> None:
    asking = who({"GITHUB_ACTOR": "a" * 1000, "BUILD_URL": "https://" + "b" * 1000})
    words: dict[str, Any] = {"application_name": "shop", "deployment_group_name": "web"}
    request = DeployRequest(**words, requested_by=asking.name, requested_from=asking.run)
    assert len(request.requested_by) == MOST
    assert fingerprint(request) == fingerprint(DeployRequest(**words))
