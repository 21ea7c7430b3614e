"""`towline api` on a real Temporal server with local instances, and the clients that tests call it with."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config

from tests.harness.s3 import aws_environ, s3_server
from tests.harness.site import Done, Site, running_site
from tests.harness.temporal import TemporalServer

SECRET = "0123456789abcdef0123"


@dataclass
class Api:
    """A site, the address of its API, and that of an S3 server."""

    site: Site
    url: str
    s3: str

    def client(
        self, name: str = "CI", secret: str = SECRET, path: str = "", *, url: str = "", attempts: int = 1
    ) -> Any:
        return boto3.client(
            "codedeploy",
            endpoint_url=(url or self.url) + path,
            region_name="eu-west-1",
            aws_access_key_id=f"TL{name}",
            aws_secret_access_key=secret,
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )

    async def aws(self, *words: str, path: str = "", **environ: str) -> Done:
        """Runs the real AWS CLI, `aws WORDS`, as CI; `path` goes behind the endpoint's address."""
        program = str(Path(sys.executable).with_name("aws"))
        named = {
            "AWS_ENDPOINT_URL_CODEDEPLOY": self.url + path,
            "AWS_ACCESS_KEY_ID": "TLCI",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_PAGER": "",
        }
        return await self.site.run(program, *words, environ=named | environ)


@pytest.fixture(scope="package")
def s3_address() -> Iterator[str]:
    """The address of an S3 server."""
    with s3_server() as address:
        yield address


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def api(
    temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory, s3_address: str
) -> AsyncIterator[Api]:
    """`towline api` with the groups shop/production and shop/cli, of two instances each."""
    folder = tmp_path_factory.mktemp("api")
    async with running_site(temporal, folder, **aws_environ(s3_address)) as site:
        await site.declare("shop", "production", count=2)
        await site.declare("shop", "cli", count=2)
        async with api_server(site, "api") as (url, _):
            yield Api(site, url, s3_address)


@contextlib.asynccontextmanager
async def api_server(site: Site, name: str, *options: str) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """A process `towline api` of the site, and its address; its log is `NAME.log` in the site's folder."""
    folder, log = site.folder, site.folder / f"{name}.log"
    command = [sys.executable, "-m", "towline", "api", "--port", "0", *credentials(folder), *options]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=site.environ, cwd=folder, stdout=subprocess.PIPE, stderr=errors) as server,
    ):
        assert server.stdout
        line = await asyncio.to_thread(server.stdout.readline)
        assert line, log.read_text()
        try:
            yield line.split()[2].decode(), server
        finally:
            server.terminate()
    assert "Traceback" not in log.read_text()


def credentials(folder: Path) -> list[str]:
    keys, policy = folder / "keys", folder / "policy.yaml"
    keys.write_text(
        "".join(
            f"[{n}]\naws_access_key_id=TL{n}\naws_secret_access_key={SECRET}\n" for n in ("CI", "READER", "LIMITED")
        )
    )
    keys.chmod(0o600)
    policy.write_text(
        'CI: {Statement: {Effect: Allow, Action: "codedeploy:*", Resource: "*"}}\n'
        'READER: {Statement: {Effect: Allow, Action: "codedeploy:Get*", Resource: "*"}}\n'
        'LIMITED: {Statement: [{Effect: Allow, Action: "codedeploy:*", Resource: "*"},\n'
        '  {Effect: Deny, Action: "*", Resource: "arn:aws:codedeploy:*:000000000000:application:denied"}]}\n'
    )
    return ["--access-keys", str(keys), "--policy", str(policy)]
