"""The hook of examples/haproxy that speaks with balancers: when it waits, when it goes on, and when it gives up."""

from __future__ import annotations

import importlib.util
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.harness import ROOT

EXAMPLE = ROOT / "examples/haproxy"
HEAD = "# pxname,svname,qcur,scur,status,\n"


@pytest.fixture
def traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a host in `tmp_path` and in a hurry."""
    spec = importlib.util.spec_from_file_location("traffic", EXAMPLE / "shop/scripts/traffic.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = {"BALANCERS": tmp_path / "balancers", "OUT_OF_SERVICE": tmp_path / "shop/out", "PATIENCE_SECONDS": 0}
    for name, value in {**settings, "PAUSE_SECONDS": 0.01}.items():
        monkeypatch.setattr(module, name, value)
    return module


class Balancer(HTTPServer):
    """Says how it sees hosts: one answer after the other, the last one again and again."""

    def __init__(self, *rows: str) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.rows = list(rows)
        self.url = f"http://127.0.0.1:{self.server_port}/;csv"


class Answers(BaseHTTPRequestHandler):
    server: Balancer

    def do_GET(self) -> None:
        row = self.server.rows.pop(0) if len(self.server.rows) > 1 else self.server.rows[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{HEAD}shop,another,0,9,UP,\nshop,{row},\nshop,BACKEND,0,9,UP,\n".encode())

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def balancer(traffic: ModuleType) -> Iterator[Balancer]:
    """A balancer that the host knows."""
    with Balancer("") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        traffic.BALANCERS.write_text(f"{server.url}\n")
        yield server
        server.shutdown()


def row(status: str, requests: int = 0, waiting: int = 0) -> str:
    return f"{socket.gethostname()},{waiting},{requests},{status}"


@pytest.mark.parametrize(
    ("what", "seen"),
    [("drain", row("NOLB")), ("drain", row("DOWN")), ("drain", row("MAINT")), ("restore", row("UP")),
     ("restore", row("MAINT")), ("restore", row("DRAIN"))],
)  # fmt: skip
def test_goes_on_when_the_balancer_has_noticed(traffic: ModuleType, balancer: Balancer, what: str, seen: str) -> None:
    balancer.rows = [seen]
    traffic.main(what)
    assert traffic.OUT_OF_SERVICE.exists() == (what == "drain")


@pytest.mark.parametrize(
    ("what", "seen"),
    [("drain", row("UP")), ("drain", row("NOLB", requests=1)), ("drain", row("NOLB", waiting=1)),
     ("drain", row("no check")), ("drain", "yet-another,0,0,NOLB"), ("restore", row("DOWN")), ("restore", row("NOLB"))],
)  # fmt: skip
def test_gives_up_when_it_has_not(traffic: ModuleType, balancer: Balancer, what: str, seen: str) -> None:
    balancer.rows = [seen]
    with pytest.raises(SystemExit, match=rf"{what}: {re.escape(balancer.url)} does not say so after"):
        traffic.main(what)


def test_waits_for_requests_that_are_left_and_looks_twice(
    traffic: ModuleType, balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "PATIENCE_SECONDS", 60)
    balancer.rows = [row("UP", 3), row("NOLB", 3), row("NOLB"), row("NOLB", 1), row("NOLB"), row("NOLB"), row("UP", 9)]
    traffic.main("drain")
    assert balancer.rows == [row("UP", 9)]


def test_a_balancer_that_does_not_answer_and_one_that_nobody_named(traffic: ModuleType) -> None:
    with pytest.raises(SystemExit, match="balancers is missing: write the address"):
        traffic.main("drain")
    assert not traffic.OUT_OF_SERVICE.exists()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    traffic.BALANCERS.write_text(f"http://127.0.0.1:{port}/;csv\n")
    with pytest.raises(SystemExit, match="refused"):
        traffic.main("drain")
    traffic.BALANCERS.write_text("")
    traffic.main("drain")


def test_the_files_agree() -> None:
    """The instances of towline.yaml are the servers of haproxy.cfg, and the floor leaves room for three."""
    manifest = yaml.safe_load((EXAMPLE / "towline.yaml").read_text())
    servers = re.findall(r"^    server (\S+) (\S+):8080$", (EXAMPLE / "haproxy.cfg").read_text(), re.MULTILINE)
    assert servers == [(f"web-{n:02d}", f"web-{n:02d}.example.com") for n in range(1, 11)]
    assert manifest["instances"][0]["instanceName"] == "web-[01:10]"
    assert manifest["deploymentConfigs"][0]["minimumHealthyHosts"] == {"type": "FLEET_PERCENT", "value": 70}
