"""What knows a file by its time takes a changed one for changed: make, rsync, and web servers with their ETags.

Python's .pyc is in `test_hostile_users.py`.
"""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.test import Client
from werkzeug.wrappers import Response

from tests.harness.host.local_host import LocalHost, plan_of, tar_of
from towline.bundles.pack import pack
from towline.host.runner.file_times import NANOSECONDS, newer

pytestmark = pytest.mark.slow

VERSIONS = ("one", "two", "six", "one", "two")
PLAN = plan_of({"site": "/srv/app"})


def fixed(content: str, _: Path) -> bytes:
    """As build tools make it whose output is to be reproducible."""
    return tar_of({"site/page.txt": content})


def packed(content: str, folder: Path) -> bytes:
    """As `towline push` makes it of a directory."""
    source = folder / f"source-{len(list(folder.iterdir()))}"
    (source / "site").mkdir(parents=True)
    (source / "site/page.txt").write_text(content)
    (source / "appspec.yml").write_text("version: 0.0\nos: linux\nfiles: [{source: site, destination: /srv/app}]\n")
    return pack(source, source.with_suffix(".tgz"), "tgz").path.read_bytes()


@pytest.fixture(params=[fixed, packed])
def releases(request: pytest.FixtureRequest, host: LocalHost, tmp_path: Path) -> Iterator[str]:
    """Deploys one version after the other, each a file of the same size, and gives its content."""

    def each() -> Iterator[str]:
        for number, version in enumerate(VERSIONS, 1):
            ended = host.deploy(f"d-{number}", request.param(version, tmp_path), PLAN).events[-1]
            assert ended["outcome"] == "succeeded", ended
            yield version

    return each()


def test_make_builds_what_has_changed(host: LocalHost, releases: Iterator[str]) -> None:
    for version in releases:
        app = host.path("/srv/app")
        (app / "Makefile").write_text("built: page.txt\n\tcp page.txt built\n")
        subprocess.run(["make", "-s"], cwd=app, check=True)
        assert (app / "built").read_text() == version


@pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync here: apt install rsync")
def test_rsync_copies_what_has_changed(host: LocalHost, releases: Iterator[str], tmp_path: Path) -> None:
    for version in releases:
        subprocess.run(["rsync", "-a", f"{host.path('/srv/app')}/", f"{tmp_path}/copy/"], check=True)
        assert (tmp_path / "copy/page.txt").read_text() == version


def test_a_browser_that_has_an_etag_gets_what_has_changed(host: LocalHost, releases: Iterator[str]) -> None:
    tag = ""
    for version in releases:
        app = SharedDataMiddleware(Response("", 404), {"/": str(host.path("/srv/app"))})
        got = Client(app).get("/page.txt", headers={"If-None-Match": tag} if tag else {}, buffered=True)
        assert (got.status_code, got.text) == (200, version)
        tag = got.headers["ETag"]
        again = Client(app).get("/page.txt", headers={"If-None-Match": tag}, buffered=True)
        assert again.status_code == 304


def test_a_browser_that_knows_a_time_gets_what_has_changed(host: LocalHost, releases: Iterator[str]) -> None:
    since = ""
    for version in releases:
        with serving(host.path("/srv/app")) as fetch:
            status, text, modified = fetch(since)
            assert (status, text) == (200, version)
            assert fetch(modified)[0] == 304
        since = modified


class serving:
    """Python's web server on a directory; gives `fetch(if_modified_since) -> status, text, last_modified`."""

    def __init__(self, directory: Path) -> None:
        handler = partial(QuietHandler, directory=os.fspath(directory))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> Callable[[str], tuple[int, str, str]]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self._fetch

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _fetch(self, since: str) -> tuple[int, str, str]:
        address = f"http://127.0.0.1:{self._server.server_port}/page.txt"
        request = urllib.request.Request(address, headers={"If-Modified-Since": since} if since else {})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode(), answer.headers["Last-Modified"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "", ""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_time_is_later_than_that_of_the_file_it_replaces_however_fast_deployments_follow() -> None:
    now = int(time.time())
    ahead = now + 50
    assert newer({now, ahead}, ahead) // NANOSECONDS == ahead + 1
    assert newer({ahead + 1}, ahead) // NANOSECONDS == ahead + 2
    assert newer(set(), 100) // NANOSECONDS >= now
