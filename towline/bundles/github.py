"""Revisions on GitHub or a server with the same API: the tarball of a commit."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

import towline
from towline.errors import InvalidInput, NotFound, OurFault, TowlineError
from towline.model.bundle.revision import GitHubLocation

API = "https://api.github.com"
_CHUNK = 1024 * 1024
_AGAIN = (500, 502, 503, 504)


def download(
    location: GitHubLocation, path: Path, *, token: str = "", base_url: str | None = None, backoff_seconds: float = 1.0
) -> None:
    """Downloads the commit's tarball (gzip) to a file; blocks.

    Follows redirects without sending the token to another host. Raises NotFound, InvalidInput or OurFault; no error
    contains the token.
    """
    url = tarball_url(location, base_url or API)
    retry = Retry(
        total=8,
        connect=3,
        read=3,
        status=3,
        redirect=5,
        backoff_factor=backoff_seconds,
        status_forcelist=_AGAIN,
        # GitHub may ask for an hour of waiting; Temporal retries the activity instead.
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    headers = {"Accept": "application/vnd.github+json", "User-Agent": f"towline/{towline.__version__}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    what = f"github://{location.repository}@{location.commit_id}"
    try:
        with (
            _pool(url) as pool,
            pool.request("GET", url, headers=headers, retries=retry, preload_content=False) as answer,
        ):
            if answer.status != 200:
                raise _refusal(what, answer.status, bool(token))
            with path.open("wb") as file:
                for chunk in answer.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
    except HTTPError as error:
        raise OurFault(f"{what}: {url} cannot be read: {_reason(error)}", "Check the worker's way to it") from None


def tarball_url(location: GitHubLocation, base_url: str) -> str:
    """The URL of a commit's tarball; raises InvalidInput.

    >>> tarball_url(GitHubLocation(repository="o/r", commit_id="1a2b"), "https://git.example.com/api/v3/")
    'https://git.example.com/api/v3/repos/o/r/tarball/1a2b'
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None:
        raise InvalidInput("gitHubUrl must be an https address without user or password", f"The default is {API}")
    owner, _, repository = location.repository.partition("/")
    if re.fullmatch(r"\.+", owner) or re.fullmatch(r"\.+", repository):
        raise InvalidInput(f"{location.repository!r} is no repository", "Write it as OWNER/REPOSITORY")
    names = "/".join(quote(part, safe="") for part in (owner, repository, "tarball", location.commit_id))
    return f"{base_url.rstrip('/')}/repos/{names}"


def _pool(url: str) -> urllib3.PoolManager:
    """A connection pool, through the proxy that the environment names for this URL."""
    timeout = Timeout(connect=10, read=60)
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, timeout=timeout)
    return urllib3.PoolManager(timeout=timeout)


def _refusal(what: str, status: int, has_token: bool) -> TowlineError:
    if status == 404:
        hint = "Check owner, repository and commit" + ("" if has_token else "; a private one needs gitHubToken")
        return NotFound(f"{what}: no such repository or commit", hint)
    if status == 401:
        return OurFault(f"{what}: the token is refused", "Renew the secret that the group's gitHubToken names")
    if status in (403, 429):
        hint = "Wait, or see what the token may do" if has_token else "A token (gitHubToken) has a higher limit"
        return OurFault(f"{what}: refused, or asked too often (status {status})", hint)
    return OurFault(f"{what}: the server answers with status {status}")


def _reason(error: HTTPError) -> str:
    cause = getattr(error, "reason", None) or error
    return type(cause).__name__ if isinstance(cause, Exception) else str(cause)
