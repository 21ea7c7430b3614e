"""The relay makes a line as bad as it is told, and whole again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.fleet.test_box import traces
from tests.harness.fleet.box import Fleet, Host
from tests.harness.host.local_host import eventually

pytestmark = pytest.mark.fleet


def shell(fleet: Fleet, host: Host, command: str) -> subprocess.Popen[str]:
    """A command over SSH, as a person would give it."""
    words = f"{fleet.ssh_command(host)} -o ConnectTimeout=5 '{command}'"
    return subprocess.Popen(["sh", "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_line_is_late_loses_stalls_and_heals(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(2, relayed=True)
    host, other = fleet["web-01"], fleet["web-02"]
    host.relay.set(delay_ms=100, loss_percent=10, seed=1)
    began = time.monotonic()
    assert shell(fleet, host, "echo through").communicate()[0] == "through\n"
    assert time.monotonic() - began > 5 * 0.2, "a login takes more than five round trips of 200 ms"
    assert host.relay.counts["lost"] > 0
    host.relay.heal()
    with shell(fleet, host, "wc -c") as waiting:
        assert waiting.stdin and waiting.stdout
        host.relay.set(stall_after_bytes=200_000)
        waiting.stdin.write("x" * 1_000_000)
        waiting.stdin.close()
        eventually(lambda: host.relay.counts["stalled"])
        assert shell(fleet, other, "echo fine").communicate()[0] == "fine\n", "each line is its own"
        assert waiting.poll() is None, "nobody is told"
        host.relay.heal()
        assert waiting.stdout.read() == "1000000\n"
    number = fleet.number
    fleet.down()
    assert traces(number) == []


def test_line_can_be_deaf_one_way(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1, relayed=True)
    host = fleet["web-01"]
    with shell(fleet, host, "while read line; do echo $line >> /srv/heard; echo $line; done") as talking:
        assert talking.stdin and talking.stdout
        print("one", file=talking.stdin, flush=True)
        assert talking.stdout.readline() == "one\n"
        host.relay.set(stalled=True, one_way="from_host")
        print("two", file=talking.stdin, flush=True)
        eventually(lambda: host.read("/srv/heard") == "one\ntwo\n")
        host.relay.heal()
        assert talking.stdout.readline() == "two\n"
        talking.stdin.close()
