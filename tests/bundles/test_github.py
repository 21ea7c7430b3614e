"""Tarballs from GitHub, by a server that answers as GitHub does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.github import FakeGitHub, fake_github
from towline.bundles.github import download, tarball_url
from towline.errors import InvalidInput, NotFound, OurFault, TowlineError
from towline.model.bundle.revision import GitHubLocation

LOCATION = GitHubLocation(repository="acme/shop", commit_id="1a2b3c")


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as server:
        server.tarballs["acme/shop@1a2b3c"] = b"the tarball"
        yield server


def _download(github: FakeGitHub, path: Path, token: str = "", location: GitHubLocation = LOCATION) -> bytes:
    download(location, path, token=token, base_url=github.url, backoff_seconds=0.0)
    return path.read_bytes()


def test_a_token_is_sent_to_the_api_and_to_nobody_else(github: FakeGitHub, tmp_path: Path) -> None:
    github.token = "ghp_secret"
    assert _download(github, tmp_path / "x", "ghp_secret") == b"the tarball"
    assert github.asked == [("/repos/acme/shop/tarball/1a2b3c", "Bearer ghp_secret")]
    assert github.downloads == [("/acme/shop@1a2b3c", "")]


def test_without_a_token_it_is_anonymous(github: FakeGitHub, tmp_path: Path) -> None:
    assert _download(github, tmp_path / "x") == b"the tarball"
    assert github.asked[0][1] == ""


def test_a_server_in_trouble_is_asked_again(github: FakeGitHub, tmp_path: Path) -> None:
    github.statuses = [502, 503, 500]
    assert _download(github, tmp_path / "x") == b"the tarball"
    assert len(github.asked) == 4


@pytest.mark.parametrize(
    ("statuses", "token", "kind", "says"),
    [
        ([404], "", NotFound, "a private one needs gitHubToken"),
        ([404], "ghp_x", NotFound, "Check owner, repository and commit"),
        ([401], "ghp_x", OurFault, "the token is refused"),
        ([403], "", OurFault, "has a higher limit"),
        ([429], "ghp_x", OurFault, "asked too often"),
        ([500] * 9, "", OurFault, "status 500"),
        ([418], "", OurFault, "status 418"),
    ],
)
def test_refusals(
    github: FakeGitHub, tmp_path: Path, statuses: list[int], token: str, kind: type[TowlineError], says: str
) -> None:
    github.statuses = statuses
    with pytest.raises(kind, match=says) as caught:
        _download(github, tmp_path / "x", token)
    assert "github://acme/shop@1a2b3c" in str(caught.value)
    assert "ghp_x" not in str(caught.value)


def test_a_body_that_ends_early_is_no_success(github: FakeGitHub, tmp_path: Path) -> None:
    github.cut = True
    with pytest.raises(OurFault):
        _download(github, tmp_path / "x", "ghp_x")


def test_nobody_there_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(OurFault, match=r"127\.0\.0\.1:9"):
        download(LOCATION, tmp_path / "x", token="ghp_x", base_url="http://127.0.0.1:9", backoff_seconds=0.0)


@pytest.mark.parametrize(
    ("repository", "base"),
    [
        ("../admin", "https://x"),
        ("o/..", "https://x"),
        ("o/r", "file:///etc"),
        ("o/r", "https://bob:hunter2@x"),
        ("o/r", "x"),
    ],
)
def test_addresses_that_are_refused(repository: str, base: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        tarball_url(GitHubLocation(repository=repository, commit_id="1"), base)
    assert "hunter2" not in str(caught.value)


def test_names_cannot_change_the_path() -> None:
    url = tarball_url(GitHubLocation(repository="o/r", commit_id="feature/x?y#z"), "https://h/api/v3/")
    assert url == "https://h/api/v3/repos/o/r/tarball/feature%2Fx%3Fy%23z"
