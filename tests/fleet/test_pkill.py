"""Stop scripts that end "all Python" by name or pattern: with AWS's agent, which is no Python, they do no harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.activity_bench import Bench
from tests.harness.fleet.box import Fleet
from towline.model.deployment.status import Outcome
from towline.model.messages.deploy import Undo

pytestmark = pytest.mark.fleet

# Nothing outside of the box may ever meet such a pattern: the script looks where it is.
STOP = """#!/bin/sh
[ "$(readlink /proc/self/ns/pid)" != "{outside}" ] || exit 99
{command}
echo ran >> /srv/stops
exit 0
"""
COMMANDS = [
    "pkill python",
    "pkill -9 python3",
    "pkill -f main",
    "pkill -9 -f python",
    "pkill -f 'runner|json|fetch|state'",
    "killall python3",
    "killall -9 -r 'python.*'",
    "kill -9 $(ps -ef | grep python | grep -v grep | awk '{print $2}')",
]


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_stop_script_that_ends_all_python_ends_no_deployment(
    new_fleet: Callable[..., Fleet], tmp_path: Path, command: str
) -> None:
    fleet, bench = new_fleet(1), Bench(tmp_path)
    host, target = fleet["web-01"], fleet.target("web-01")
    stop = STOP.replace("{outside}", os.readlink("/proc/self/ns/pid")).replace("{command}", command)
    bench.attempt()
    for version in ("v1", "v2"):
        files, hooks = {"stop.sh": stop, "page": version}, {"ApplicationStop": [{"location": "stop.sh"}]}
        bench.freeze(target, deployment_id=f"d-{version}", files=files, hooks=hooks, install={"page": "/srv/app"})
        outcome = await bench.deploy("web-01", deployment_id=f"d-{version}")
        assert outcome.outcome is Outcome.SUCCEEDED, outcome.message
    bench.freeze(target, deployment_id="d-undo", revision=None, undo=Undo(deployment_id="d-v2"))
    assert (await bench.deploy("web-01", deployment_id="d-undo")).outcome is Outcome.SUCCEEDED
    await bench.pool.close()
    assert host.read("/srv/stops").split() == ["ran", "ran"] and host.read("/srv/app/page") == "v1"
