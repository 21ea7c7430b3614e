"""The fleet in a box is what it says: separate hosts, real power cuts, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.fleet.box import MEMORY, PREFIX, Fleet, tear_down

pytestmark = pytest.mark.fleet


def traces(number: int) -> list[str]:
    """What of a fleet is still there: folder, links, network namespaces, processes."""
    names = [str(path) for path in MEMORY.glob(f"{PREFIX}{number}")]
    names += [link for link in os.listdir("/sys/class/net") if link.startswith(f"tlf{number}")]
    if Path("/run/netns").is_dir():
        names += [name for name in os.listdir("/run/netns") if name.startswith(f"tlf{number}-")]
    mounts = Path("/proc/self/mounts").read_text()
    return names + ([f"mounts of {number}"] if f"{PREFIX}{number}/" in mounts else [])


def test_hosts_have_own_names_files_and_processes(fleet: Fleet) -> None:
    one, two = fleet["web-01"], fleet["web-02"]
    one.write("/srv/note", "mine")
    assert one.run("uname -n; cat /srv/note") == "web-01\nmine"
    assert two.run("test -e /srv/note || echo none") == "none\n"
    assert not Path("/srv/note").exists()
    assert one.run("cat /proc/1/comm") == "sshd\n"
    assert one.run("ls /opt; ls /var/lib | grep towline", check=False) == ""


def test_power_cut_ends_everything_and_a_boot_brings_the_disk_back(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.write("/srv/disk", "kept")
    host.write("/tmp/memory", "lost")
    host.run("setsid sleep 1000 >/dev/null 2>&1 &")
    host.power_off()
    fleet.boot(host)
    assert host.read("/srv/disk") == "kept"
    assert not host.path("/tmp/memory").exists()
    assert "sleep" not in host.run("ps ax")


def test_two_fleets_stand_side_by_side_and_leave_nothing(new_fleet: Callable[..., Fleet]) -> None:
    fleets = [new_fleet(1), new_fleet(1, bastion=True)]
    numbers = [fleet.number for fleet in fleets]
    assert len(set(numbers)) == 2
    for fleet in fleets:
        assert fleet["web-01"].run("uname -n") == "web-01\n"
        fleet.down()
    assert [traces(number) for number in numbers] == [[], []]


def test_down_cleans_up_after_a_process_that_was_killed(can_box: None) -> None:
    program = (
        "import time; from tests.harness.fleet.box import Fleet\n"
        "f = Fleet(2).up(); print(f.number, flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        number = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    assert traces(number)
    tear_down(number)
    assert traces(number) == []


def test_hosts_behind_a_bastion_cannot_be_reached_from_here(new_fleet: Callable[..., Fleet]) -> None:
    fleet = new_fleet(1, bastion=True)
    knock = ["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{fleet['web-01'].address}/22"]
    assert subprocess.run(knock, check=False, stderr=subprocess.DEVNULL).returncode != 0
    fleet["bastion"].run(f"bash -c 'exec 3<>/dev/tcp/{fleet['web-01'].address}/22'")
