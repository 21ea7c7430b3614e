"""Hosts that let nothing in: installed by the script that `towline agent invite` prints, and deployed to by HTTPS."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from tests.api.conftest import credentials
from tests.harness.agents import api_server, declare_polled
from tests.harness.certificates import write_certificate
from tests.harness.fleet.box import Fleet, Host
from tests.harness.site import running_site
from tests.harness.temporal import TemporalServer

pytestmark = pytest.mark.fleet


def only_goes_out(host: Host, address: str, port: int) -> None:
    """Lets nothing leave the host but packets to the API server: nobody gets an answer who calls it."""
    host.run(f"ip rule add prio 10 to {address} ipproto tcp dport {port} lookup main")
    host.run("ip rule add prio 20 iif lo unreachable")


async def lets_nobody_in(host: Host) -> bool:
    try:
        connection = await asyncssh.connect(host.address, known_hosts=None, connect_timeout=2)
    except (TimeoutError, OSError):
        return True
    connection.abort()
    return False


async def test_hosts_that_only_go_out(
    new_fleet: Callable[..., Fleet], temporal: TemporalServer, tmp_path: Path
) -> None:
    fleet = new_fleet(2)
    names = [host.name for host in fleet]
    gateway = f"10.213.{fleet.number}.1"
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(cert, key, gateway)
    tls = ("--ip", gateway, "--tls-cert", str(cert), "--tls-key", str(key), *credentials(tmp_path))
    async with running_site(temporal, tmp_path) as site, api_server(site, *tls) as api:
        await declare_polled(site, "shop", "inside", *names, rollback=True)
        for host in fleet:
            only_goes_out(host, gateway, api.port)
            assert await lets_nobody_in(host)
            words = ["--endpoint", api.url, "--ca", str(cert), "--script"]
            made = await site.towline("agent", "invite", host.name, *words)
            assert made.status == 0, made.err
            host.write("/root/install.sh", made.out)
            assert "runs in the background" in host.run("sh /root/install.sh 2>&1")
        good = await site.towline("deploy", "shop", "inside", "--revision", str(site.bundle("v1")))
        assert good.status == 0, good.out + good.err + api.log.read_text()
        assert {host.read("/srv/shop/index.html") for host in fleet} == {"v1\n"}
        bad = await site.towline("deploy", "shop", "inside", "--revision", str(site.bundle("v2", "exit 1")))
        assert bad.status == 1, bad.out + bad.err
        assert {host.read("/srv/shop/index.html") for host in fleet} == {"v1\n"}


async def test_the_script_of_the_server_needs_an_invitation(
    new_fleet: Callable[..., Fleet], temporal: TemporalServer, tmp_path: Path
) -> None:
    (host,) = new_fleet(1)
    async with running_site(temporal, tmp_path) as site, api_server(site) as api:
        done = subprocess.run(
            ["curl", "-fsS", f"{api.url}/agent/install.sh"], capture_output=True, text=True, check=True
        )
        host.write("/root/install.sh", done.stdout)
        told = host.run(f"sh /root/install.sh --name web-01 --endpoint {api.url} 2>&1", check=False)
        assert "the invitation is needed" in told
