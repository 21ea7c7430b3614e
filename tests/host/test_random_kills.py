"""The runner killed at any moment: nothing runs twice, no false success, and undo brings back what ran before."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import pytest

from tests.harness.host.local_host import LocalHost, plan_of, script, tar_of

pytestmark = pytest.mark.slow

COUNT = '#!/bin/sh\necho "$DEPLOYMENT_ID $LIFECYCLE_EVENT" >> "$TOWLINE_ROOT/runs"\n'
HOOKS = {
    event: [script("count.sh")] for event in ("ApplicationStop", "BeforeInstall", "AfterInstall", "ValidateService")
}
PLAN = plan_of({"app": "/srv/app"}, HOOKS)


def revision(name: str) -> bytes:
    files = {f"app/{name}/{number}": name * 1000 for number in range(100)}
    return tar_of({**files, "app/name": name, "count.sh": COUNT})


@pytest.mark.parametrize("seed", range(12))
def test_a_runner_killed_at_any_moment(host: LocalHost, seed: int) -> None:
    host.deploy("d-1", revision("one"), PLAN)
    chance = random.Random(seed)
    with host.call("deploy", "d-2", revision("two"), plan=PLAN) as call:
        call.until("need")
        call.send(revision("two"))
        pid = call.until("started")["pid"]
        time.sleep(chance.uniform(0, 0.08))
        with contextlib.suppress(ProcessLookupError):  # it may have been faster
            os.kill(pid, signal.SIGKILL)
        end = call.finish()
    assert end["outcome"] in ("interrupted", "succeeded")
    runs = host.path("/runs").read_text().split("\n")[:-1]
    assert len(runs) == len(set(runs)), "a script ran twice"
    if end["outcome"] == "succeeded":
        assert host.path("/srv/app/name").read_text() == "two"
        return
    with host.call("undo", "d-3", undo="d-2") as undo:
        assert undo.finish()["outcome"] == "succeeded", undo.events[-1]
    app = host.path("/srv/app")
    assert (app / "name").read_text() == "one"
    assert sorted(path.name for path in app.iterdir()) == ["name", "one"]
    assert len(list((app / "one").iterdir())) == 100
