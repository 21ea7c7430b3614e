"""The HTTP server on a real socket: slow, cut and numerous clients, its end, and TLS whose files change."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError
from cryptography import x509

from tests.api.test_wire import KEY
from tests.harness.certificates import write_certificate
from towline.api import app as app_module
from towline.api import server as server_module
from towline.api.app import MAX_BODY_BYTES, ApiApplication, Call
from towline.api.serve import address_of
from towline.api.server import HEAD_BYTES, Listen, Server, server
from towline.api.sigv4 import Caller, Verifier
from towline.errors import InvalidInput

HEAD = (
    b"POST / HTTP/1.1\r\nHost: towline\r\nX-Amz-Target: CodeDeploy_20141006.ListApplications\r\n"
    b"Content-Type: application/x-amz-json-1.1\r\n"
)


class Gated:
    """A service that answers when its gate is open; `begun` is set by the first call."""

    def __init__(self) -> None:
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def call(self, call: Call) -> Mapping[str, Any]:
        self.begun.set()
        await self.gate.wait()
        return {"applications": ["shop"]}

    async def is_ready(self) -> str:
        return ""


class Running:
    """A server that listens on loopback, and its service."""

    def __init__(self, service: Gated, http: Server, serving: asyncio.Task[None], listen: Listen) -> None:
        self.service, self.http, self.serving = service, http, serving
        self.url = address_of(http, listen)
        self.port = int(self.url.rpartition(":")[2])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, request: bytes) -> bytes:
        """All that the server sends until it closes the connection."""
        reader, writer = await self.connect()
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    def applications(self, ca: Path) -> list[str]:
        """What boto3 lists, over TLS that `ca` vouches for."""
        aws = boto3.client(
            "codedeploy",
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id=KEY.key_id,
            aws_secret_access_key=KEY.secret,
            verify=str(ca),
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            found: list[str] = aws.list_applications()["applications"]
        finally:
            aws.close()
        return found


@contextlib.asynccontextmanager
async def running(*, signed: bool = False, cert: Path | None = None, key: Path | None = None) -> AsyncIterator[Running]:
    """A server for the block."""
    service, listen = Gated(), Listen(tls_cert=cert, tls_key=key)
    verifier = Verifier({KEY.key_id: KEY}.get) if signed else None
    http = server(ApiApplication(service, verifier, Caller(KEY, "")), listen)
    started = asyncio.Event()
    http.on_started = started.set
    serving = asyncio.create_task(http.serve())
    await started.wait()
    try:
        yield Running(service, http, serving, listen)
    finally:
        http.should_exit = True
        await serving


async def test_a_head_that_does_not_arrive_in_time_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)
    async with running() as api:
        for part in (b"", b"POST / HT", HEAD):
            reader, writer = await api.connect()
            writer.write(part)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()


async def test_a_second_request_has_the_same_time_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)
    async with running() as api:
        reader, writer = await api.connect()
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        assert b" 200 " in await reader.readline()
        await reader.readuntil(b'["shop"]}')
        writer.write(b"POST")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_a_body_that_does_not_arrive_in_time_is_answered_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "BODY_SECONDS", 0.2)
    async with running() as api:
        answer = await api.send(HEAD + b"Content-Length: 5\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ") and b"RequestTimeoutException" in answer


async def test_a_body_that_grows_too_large_is_refused_while_it_arrives() -> None:
    async with running() as api:
        reader, writer = await api.connect()
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(MAX_BODY_BYTES // 0x10000 + 1):
            writer.write(chunk)
        assert b" 413 " in await reader.readline()
        writer.close()


async def test_chunks_and_expect_are_understood() -> None:
    async with running() as api:
        reader, writer = await api.connect()
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert b" 100 " in await reader.readline()
        writer.write(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
        await reader.readuntil(b'["shop"]}')
        writer.close()


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with running() as api:
        reader, writer = await api.connect()
        writer.write(b"POST / HTTP/1.1\r\nX-Large: " + b"x" * (HEAD_BYTES + 1))
        assert b" 400 " in await reader.readline()
        writer.close()


async def test_one_connection_too_many_is_closed_and_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 1)
    async with running() as api:
        reader, writer = await api.connect()
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        await reader.readuntil(b'["shop"]}')
        with contextlib.suppress(ConnectionResetError):
            assert await api.send(b"") == b""
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        await reader.readuntil(b'["shop"]}')
        writer.close()


async def test_a_client_that_goes_away_costs_nothing_and_no_call_is_made() -> None:
    async with running() as api:
        _, writer = await api.connect()
        writer.write(HEAD + b"Content-Length: 5\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        await api.send(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
        assert not api.http.server_state.tasks - {asyncio.current_task()}


async def test_the_end_waits_for_the_answer_under_way_and_takes_no_other() -> None:
    async with running() as api:
        api.service.gate.clear()
        reader, writer = await api.connect()
        idle, idle_writer = await api.connect()
        writer.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        await api.service.begun.wait()
        api.http.should_exit = True
        assert await idle.read() == b"", "a connection without a request is closed at once"
        idle_writer.close()
        with pytest.raises(ConnectionRefusedError):
            await api.connect()
        api.service.gate.set()
        assert b'["shop"]}' in await reader.read()
        writer.close()
        await api.serving


async def test_the_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SHUTDOWN_SECONDS", 0.2)
    async with running() as api:
        _, writer = await api.connect()
        writer.write(HEAD + b"Content-Length: 5\r\n\r\n{")
        await writer.drain()
        await api.send(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
        api.http.should_exit = True
        await api.serving
        writer.close()


async def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    cert, key, old = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "old.pem"
    write_certificate(cert, key)
    shutil.copy(cert, old)
    async with running(signed=True, cert=cert, key=key) as api:
        assert api.url.startswith("https://")
        assert await asyncio.to_thread(api.applications, cert) == ["shop"]
        write_certificate(cert, key)
        assert await asyncio.to_thread(api.applications, cert) == ["shop"]
        with pytest.raises(SSLError):
            await asyncio.to_thread(api.applications, old)


async def test_files_that_do_not_fit_together_leave_the_certificate_as_it_was(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    serial = write_certificate(cert, key)
    async with running(signed=True, cert=cert, key=key) as api:
        assert await serial_of(api) == serial
        later = write_certificate(tmp_path / "new-cert.pem", tmp_path / "new-key.pem")
        shutil.copy(tmp_path / "new-cert.pem", cert)
        assert await serial_of(api) == serial, "the key of the new certificate is not there yet"
        key.unlink()
        assert await serial_of(api) == serial
        shutil.copy(tmp_path / "new-key.pem", key)
        assert await serial_of(api) == later


async def serial_of(api: Running) -> int:
    """The serial number of the certificate that is served, also to a client that names the server."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", api.port, ssl=context, server_hostname="localhost")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


@pytest.mark.parametrize("wrong", ["absent", "nonsense", "of another"])
def test_certificate_files_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path, wrong: str) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(cert, key)
    if wrong == "absent":
        key.unlink()
    elif wrong == "nonsense":
        key.write_text("nonsense")
    else:
        write_certificate(tmp_path / "other.pem", key)
    with pytest.raises(InvalidInput, match=r"TLS with .*cert\.pem and .*key\.pem: "):
        server(ApiApplication(Gated(), None, Caller(KEY, "")), Listen(tls_cert=cert, tls_key=key))
