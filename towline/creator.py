"""Who runs a command: user and host, and in CI the person and the address of the run."""

from __future__ import annotations

import functools
import getpass
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

ADDRESSES = (
    "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    "{CI_JOB_URL}",  # GitLab
    "{CI_PIPELINE_URL}",  # GitLab, Woodpecker
    "{CIRCLE_BUILD_URL}",
    "{BUILDKITE_BUILD_URL}",
    "{SYSTEM_TEAMFOUNDATIONCOLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",  # Azure
    "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    "{DRONE_BUILD_LINK}",
    "{BUILD_URL}",  # Jenkins
)
"""How CI systems tell the address of a run; the first whose variables are all there counts."""

ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "CIRCLE_USERNAME", "BUILDKITE_BUILD_CREATOR", "BUILD_REQUESTEDFOR")
"""Where CI systems tell who had the run started."""

MOST = 200


@dataclass(frozen=True)
class Who:
    """Who asked for something, and the address of the CI run in which; empty outside of CI."""

    name: str
    run: str = ""


def who(environ: Mapping[str, str] | None = None) -> Who:
    """Who runs this command, by the environment.

    >>> who({"GITLAB_USER_LOGIN": "ada", "CI_JOB_URL": "https://git.example/shop/-/jobs/7"}).run
    'https://git.example/shop/-/jobs/7'
    """
    given = os.environ if environ is None else environ
    actor = next((given[name] for name in ACTORS if given.get(name)), "")
    name = f"{actor} ({whoami()})" if actor else whoami()
    return Who(_plain(name), _plain(_run_address(given)))


@functools.cache
def whoami() -> str:
    """`user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _run_address(given: Mapping[str, str]) -> str:
    for form in ADDRESSES:
        names = re.findall(r"{(\w+)}", form)
        if all(given.get(name) for name in names):
            address = form.format_map(given)
            return re.sub(r"^(\w+://)[^/@]*@", r"\1", address)  # without a password that may stand there
    return ""


def _plain(text: str) -> str:
    """Without what a variable's value may have that JSON has not, and not longer than a line."""
    return text.encode(errors="replace").decode()[:MOST]
