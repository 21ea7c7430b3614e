"""Bundles as AWS's agent downloads them: a signed GET in the form of S3, of what its current deployment needs.

With an address as endpoint the bucket is the path's first part, with a name it is the first part of the host's name.
Source: exchanges of the real agent ("How the bundle is addressed", "Unusual ETags").
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from towline.api.app import Receive, Response, Scope, Send, headers_of, query_of, send_answer
from towline.api.command_service.hosts import SignIn
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

    def __init__(self, runs: Runs, sign_in: SignIn) -> None:
        self._runs, self._sign_in = runs, sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3. An S3 client shows the message of an error document, and tries again at 500 and 503."""
        request_id = str(uuid.uuid4())
        try:
            live, found = await self._find(scope)
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

    async def _find(self, scope: Scope) -> tuple[LiveRun, BundleObject]:
        headers, raw_path, query = headers_of(scope), scope["raw_path"].decode("latin-1"), query_of(scope)
        host = await self._sign_in.host(Request(scope["method"], raw_path, query, headers, b""))
        for wanted in candidates(headers.get("host", ""), raw_path, query):
            if live := self._runs.needing(host.name, *wanted):
                assert live.bundle
                return live, live.bundle
        text = f"{host.name} has no deployment at work that needs {unquote(raw_path)[:300]}"
        raise ApiError("AccessDenied", text, 403)


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
