"""Bundles as AWS's agent downloads them: a signed GET in the form of S3, of what its current deployment needs.

With an address as endpoint the bucket is the path's first part, with a name it is the first part of the host's name.
Source: exchanges of the real agent ("How the bundle is addressed", "Unusual ETags").
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from towline.api.app import Receive, Response, Scope, Send, headers_of, query_of, send_answer
from towline.api.command_service.hosts import SignIn
from towline.api.command_service.relay import NOT_PASSED_ON, CommandRelay, is_relayed
from towline.api.errors import ApiError
from towline.api.sigv4 import Request
from towline.codedeploy_agents.runs import LiveRun, Runs
from towline.errors import NotFound, TowlineError
from towline.model.codedeploy_agent.specification import BundleObject
from towline.transports.base import body_chunks

log = logging.getLogger("towline.api.command_service")


class Wanted(NamedTuple):
    """The object that a GET asks for."""

    bucket: str
    key: str
    version: str


def is_download(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request is signed for S3."""
    return method in ("GET", "HEAD") and "/s3/aws4_request" in headers.get("authorization", "")


def candidates(host: str, raw_path: str, query: str) -> list[Wanted]:
    """The objects that a GET may ask for: the bucket is in the path, or in front of the host's name.

    >>> candidates("127.0.0.1:9000", "/bundles/a%20b.tar", "")
    [Wanted(bucket='bundles', key='a b.tar', version='')]
    >>> [wanted.bucket for wanted in candidates("bundles.s3.test:9000", "/dir/app.tar", "versionId=7")]
    ['dir', 'bundles', 'bundles.s3', 'bundles.s3.test']
    """
    path = unquote(raw_path.removeprefix("/"))
    version = parse_qs(query).get("versionId", [""])[0]
    bucket, _, key = path.partition("/")
    found = [Wanted(bucket, key, version)]
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if not _is_address(name):
        labels = name.split(".")
        found += [Wanted(".".join(labels[:count]), path, version) for count in range(1, len(labels) + 1)]
    return found


class Downloads:
    """ASGI: GETs of bundles."""

    def __init__(self, runs: Runs, sign_in: SignIn, relay: CommandRelay | None = None) -> None:
        self._runs, self._sign_in, self._relay = runs, sign_in, relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3. An S3 client shows the message of an error document, and tries again at 500 and 503."""
        request_id = str(uuid.uuid4())
        try:
            request = _request_of(scope)
            host = await self._sign_in.host(request)
            if self._is_elsewhere(host.name, request):
                assert self._relay
                return await _send_stream(send, self._relay.stream(host.name, request))
            live, found = self._find(host.name, request)
            assert live.archive
            await _send_object(send, found, await live.archive(), request_id, with_body=scope["method"] == "GET")
        except ApiError as error:
            log.warning("%s GET %s: %s: %s", request_id, scope["path"][:200], error.code, error.message)
            await send_answer(send, _document(error, request_id))
        except NotFound as error:
            await send_answer(send, _document(ApiError("NoSuchKey", error.message, 404), request_id))
        except TowlineError as error:
            log.warning("%s GET %s: %s", request_id, scope["path"][:200], error)
            await send_answer(send, _document(ApiError("ServiceUnavailable", error.message, 503), request_id))

    def _is_elsewhere(self, host: str, request: Request) -> bool:
        is_here = self._relay is None or is_relayed(request.headers) or self._runs.has(host)
        return not is_here and self._runs.is_elsewhere(host)

    def _find(self, host: str, request: Request) -> tuple[LiveRun, BundleObject]:
        for wanted in candidates(request.headers.get("host", ""), request.path, request.query):
            if live := self._runs.needing(host, *wanted):
                assert live.bundle
                return live, live.bundle
        raise ApiError(
            "AccessDenied", f"{host} has no deployment at work that needs {unquote(request.path)[:300]}", 403
        )


def _request_of(scope: Scope) -> Request:
    return Request(scope["method"], scope["raw_path"].decode("latin-1"), query_of(scope), headers_of(scope), b"")


async def _send_stream(send: Send, pieces: AsyncIterator[bytes]) -> None:
    """Sends another server's answer as it comes."""
    head = (await anext(pieces)).decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    kept = {name: value for name, value in headers.items() if name not in NOT_PASSED_ON or name == "content-length"}
    await send({"type": "http.response.start", "status": int(head[0].split()[1]), "headers": _encoded(kept)})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_object(
    send: Send, found: BundleObject, content: Path | bytes, request_id: str, *, with_body: bool
) -> None:
    """Sends an object in pieces. An ETag is always there: agents compare it, and fail where there is none."""
    size = await asyncio.to_thread(_size, content)
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(size),
        "etag": f'"{_e_tag(found)}"',
        "x-amz-request-id": request_id,
    }
    if found.version:
        headers["x-amz-version-id"] = found.version
    await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
    if with_body:
        async for chunk in body_chunks(content):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _size(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _e_tag(found: BundleObject) -> str:
    return found.e_tag.strip('"') or "towline"


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


def _document(error: ApiError, request_id: str) -> Response:
    """An error as S3 writes it."""
    text = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{text}<RequestId>{request_id}</RequestId></Error>'
    status = error.status if error.status != 400 else 403
    return Response(status, {"content-type": "application/xml", "x-amz-request-id": request_id}, body.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
