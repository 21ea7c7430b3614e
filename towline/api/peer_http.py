"""Requests of one API server to another: few, small, and each on a connection of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from towline.errors import Unreachable

CONNECT_SECONDS = 3.0
ANSWER_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 256 * 1024


async def post(
    address: str, path: str, headers: Mapping[str, str], body: bytes, *, cert: Path | None, seconds: float
) -> tuple[int, bytes]:
    """Post to another server; return status and body. Raises Unreachable.

    `cert`: the certificate that it must have, since all servers of a fleet have the same one.
    """
    url = urlsplit(address)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            context = _context(cert) if url.scheme == "https" else None
            reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context, limit=ANSWER_BYTES)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unreachable(f"the API server {address} does not answer: {error}") from error
    try:
        async with asyncio.timeout(seconds):
            fields = {"host": url.netloc, "connection": "close", "content-length": len(body), **headers}
            lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
            writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(head.split(" ", 2)[1])
            return status, await reader.readexactly(_length(head))
    except (OSError, TimeoutError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        raise Unreachable(f"the API server {address} broke off: {error!r}") from error
    finally:
        writer.close()


async def stream_get(address: str, path: str, headers: Mapping[str, str], *, cert: Path | None) -> AsyncIterator[bytes]:
    """Get from another server: first the head of its answer, then the body in pieces. Raises Unreachable."""
    url = urlsplit(address)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            context = _context(cert) if url.scheme == "https" else None
            reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unreachable(f"the API server {address} does not answer: {error}") from error
    try:
        fields = {"host": url.netloc, **headers, "connection": "close"}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        yield await reader.readuntil(b"\r\n\r\n")
        while piece := await reader.read(PIECE_BYTES):
            yield piece
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise Unreachable(f"the API server {address} broke off: {error!r}") from error
    finally:
        writer.close()


def _length(head: str) -> int:
    fields = (line.partition(":") for line in head.lower().split("\r\n"))
    return next((min(ANSWER_BYTES, int(value)) for name, _, value in fields if name == "content-length"), 0)


def _context(cert: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it is reached by an address that the certificate need not have
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cert)
    return context
