"""`towline api` as a process: its end while a call is under way, and TLS as the AWS CLI sees it."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.api.conftest import SECRET, Api, api_server
from tests.api.test_aws_cli import succeeded
from tests.harness.certificates import write_certificate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def signed(url: str, operation: str, body: bytes) -> tuple[bytes, bytes]:
    """The head and the body of a request."""
    headers = {"X-Amz-Target": f"CodeDeploy_20141006.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"{url}/", headers=headers, data=body)
    SigV4Auth(Credentials("TLCI", SECRET), "codedeploy", "eu-west-1").add_auth(request)
    fields = {"Host": urlsplit(url).netloc, "Content-Length": str(len(body)), **dict(request.headers.items())}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n".encode(), body


async def until_refused(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:  # refused, or reset where it was waiting to be accepted
            return
        writer.close()


async def test_a_call_that_is_under_way_at_sigterm_is_answered(api: Api) -> None:
    async with api_server(api.site, "ending") as (url, process):
        head, body = signed(url, "CreateApplication", b'{"applicationName": "made-at-the-end"}')
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert b" 100 " in await reader.readline(), "the call has begun: its body is waited for"
        process.send_signal(signal.SIGTERM)
        await until_refused(port)
        writer.write(body)
        answer = await reader.read()
        assert b" 200 " in answer and b'"applicationId"' in answer
        writer.close()
        await asyncio.to_thread(process.wait, 30)
    await asyncio.to_thread(api.client().get_application, applicationName="made-at-the-end")


async def test_the_aws_cli_trusts_a_renewed_certificate_without_a_restart(api: Api, tmp_path: Path) -> None:
    cert, key, old = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "old.pem"
    write_certificate(cert, key)
    shutil.copy(cert, old)
    async with api_server(api.site, "tls", "--tls-cert", str(cert), "--tls-key", str(key)) as (url, _):
        listed = ("deploy", "list-applications")
        environ = {"AWS_ENDPOINT_URL_CODEDEPLOY": url, "AWS_MAX_ATTEMPTS": "1"}
        assert url.startswith("https://")
        before = succeeded(await api.aws(*listed, AWS_CA_BUNDLE=str(cert), **environ))
        write_certificate(cert, key)
        after = succeeded(await api.aws(*listed, AWS_CA_BUNDLE=str(cert), **environ))
        assert "shop" in before.json["applications"] and after.json == before.json
        refused = await api.aws(*listed, AWS_CA_BUNDLE=str(old), **environ)
        assert refused.status != 0 and "CERTIFICATE_VERIFY_FAILED" in refused.err


async def test_files_that_cannot_be_used_end_the_command_with_a_message(api: Api, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text("nonsense")
    key.write_text("nonsense")
    done = await api.site.towline("api", "--no-auth", "--tls-cert", str(cert), "--tls-key", str(key))
    assert done.status not in (0, 1) and "Traceback" not in done.err
    assert f"TLS with {cert} and {key}" in done.err
