"""The archive on its way to a host: slow, cut in the middle, stalled, stopped, and another than it should be."""

from __future__ import annotations

import asyncio
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from temporalio.activity import ActivityCancellationDetails

from tests.harness.activity_bench import Bench
from tests.harness.fleet.box import Fleet
from tests.harness.host.local_host import RUNNER, LocalHost, plan_of, revision_of, tar_of
from tests.harness.host.local_host import eventually as wait_until
from tests.harness.temporal import eventually
from towline.model.deployment.status import Outcome

pytestmark = pytest.mark.slow

ARCHIVE = tar_of({"page": "v1", "payload": os.urandom(400_000)})
OTHER = tar_of({"page": "v1", "payload": os.urandom(400_000)})
PLAN = plan_of({"page": "/srv/shop"})


class Source:
    """A web server with one archive, which it gives in its own way."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.body = ARCHIVE
        self.kind = "slow"
        self.gate = threading.Event()  # the second half of a slow or stalled body waits for it
        self.asked = 0


@pytest.fixture
def source() -> Iterator[Source]:
    """The server for one test."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked += 1
            half = len(found.body) // 2
            self.send_response(200)
            if found.kind == "cut chunk":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%s" % (len(found.body), found.body[:half]))
                return
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body[:half])
            self.wfile.flush()
            if found.kind == "cut":
                return
            if found.kind in ("slow", "stalled"):
                found.gate.wait(60)
            self.wfile.write(found.body[half:])

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """The host has hung up."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    found = Source(f"http://127.0.0.1:{server.server_address[1]}/bundle?signature=secret")
    try:
        yield found
    finally:
        found.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    """A host that waits for a silent web server for one second instead of sixty."""
    runner = tmp_path / "runner.py"
    runner.write_text(RUNNER.read_text().replace("HTTP_SECONDS = 60", "HTTP_SECONDS = 1"))
    return LocalHost(tmp_path / "host", runner=runner)


def traces(host: LocalHost) -> list[str]:
    """What a deployment that was refused has left on the host."""
    return [str(path) for path in host.root.rglob("d-1*")]


def test_a_slow_source_is_waited_for(host: LocalHost, source: Source) -> None:
    with host.call("deploy", "d-1", ARCHIVE, plan=PLAN, url=source.url) as call:
        wait_until(lambda: source.asked)
        source.gate.set()
        assert call.finish()["outcome"] == "succeeded"
    assert not call.kinds("need")


def test_a_stop_does_not_wait_for_a_slow_source(host: LocalHost, source: Source) -> None:
    source.body = ARCHIVE + bytes(1 << 20)  # the rest comes in more than one piece
    with host.call("deploy", "d-1", source.body, plan=PLAN, url=source.url) as call:
        wait_until(lambda: source.asked)
        call.say({"halt": "boundary"})
        source.gate.set()
        end = call.finish()
    assert (end["kind"], end["code"]) == ("refused", "Stopped")
    assert traces(host) == []


BREAKS = {"cut": "bytes, the revision", "stalled": "timed out", "cut chunk": "breaks off"}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_source_that_breaks_off_is_replaced_by_the_connection(host: LocalHost, source: Source, kind: str) -> None:
    source.kind = kind
    call = host.deploy("d-1", ARCHIVE, PLAN, url=source.url)
    [need] = call.kinds("need")
    assert BREAKS[kind] in need["reason"]
    assert call.events[-1]["outcome"] == "succeeded" and host.path("/srv/shop/page").read_text() == "v1"


def test_another_file_from_everywhere_touches_nothing(host: LocalHost, source: Source) -> None:
    source.kind, source.body = "whole", OTHER
    revision = {**revision_of(ARCHIVE), "size": len(OTHER)}
    with host.call("deploy", "d-1", ARCHIVE, plan=PLAN, url=source.url, revision=revision) as call:
        end = call.finish(OTHER)
    assert "SHA-256" in call.kinds("need")[0]["reason"]
    assert (end["kind"], end["code"]) == ("refused", "WrongArchive") and "SHA-256" in end["message"]
    assert traces(host) == [] and not host.path("/srv").exists()


@pytest.mark.fleet
async def test_a_stop_in_the_middle_of_a_transfer_waits_for_it_and_begins_nothing(
    new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    bench.attempt()
    fleet = new_fleet(1, relayed=True)
    host = fleet["web-01"]
    bench.freeze(
        fleet.target("web-01"),
        files={"hook.sh": "#!/bin/sh\necho run >> /srv/runs\n", "payload": os.urandom(3_000_000)},
        hooks={"AfterInstall": [{"location": "hook.sh"}]},
    )
    host.relay.set(stall_after_bytes=1_000_000)
    running = asyncio.create_task(bench.deploy("web-01"))
    await eventually(lambda: host.relay.counts["stalled"])
    bench.environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    await asyncio.sleep(0.3)  # long enough for a halt that waits for nobody
    host.relay.heal()
    outcome = await running
    await bench.pool.close()
    # The stop comes right behind the archive: the runner has it before its first record, or at its first boundary.
    assert outcome.outcome in (Outcome.SKIPPED, Outcome.STOPPED)
    assert host.run("cat /srv/runs", check=False) == ""
