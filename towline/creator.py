"""Identity of the user who runs a command: user and host, and in CI the actor and the URL of the run."""

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
"""URLs of a CI run by CI system; the first whose variables are all set is used."""

ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "CIRCLE_USERNAME", "BUILDKITE_BUILD_CREATOR", "BUILD_REQUESTEDFOR")
"""The variables in which CI systems name the user who started the run."""

MOST = 200


@dataclass(frozen=True)
class Who:
    """A requester, and the URL of the CI run; empty outside of CI."""

    name: str
    run: str = ""


def who(environ: Mapping[str, str] | None = None) -> Who:
    """The requester of this command, from the environment.

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
    except (KeyError, OSError):  # no passwd entry, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _run_address(given: Mapping[str, str]) -> str:
    for form in ADDRESSES:
        names = re.findall(r"{(\w+)}", form)
        if all(given.get(name) for name in names):
            address = form.format_map(given)
            return re.sub(r"^(\w+://)[^/@]*@", r"\1", address)  # without user and password
    return ""


def _plain(text: str) -> str:
    """The text without lone surrogates, which JSON cannot encode, cut to `MOST` characters."""
    return text.encode(errors="replace").decode()[:MOST]
