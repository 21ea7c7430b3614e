"""The commands against a real Temporal, a real worker and instances on this machine: every exit status, every door."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client

from tests.harness.bundles import write_bundle
from tests.harness.declared import declare_group, local_instance
from tests.harness.processes import PATIENCE_SECONDS, TOWLINE, Done, environment
from tests.harness.temporal import TemporalServer
from towline.creator import whoami
from towline.devserver import free_port
from towline.settings import read_settings
from towline.temporal import connect_temporal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AFTER = "scripts/after.sh"


@dataclass
class UpSite:
    """A `towline up` of its own, and what is declared there: the application `shop`."""

    folder: Path
    environ: dict[str, str]
    up: subprocess.Popen[str] | None = None

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Starts `towline WORDS` in a folder that has modules of the same names as ours."""
        return subprocess.Popen(
            [*TOWLINE, *words],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *words: str) -> Done:
        """Runs it to its end."""
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return Done(process.returncode, out, err)

    def declare(
        self, group: str, *, count: int = 2, config: str = "AllAtOnce", rollback: bool = False, **fake: object
    ) -> None:
        """Declares a group of local instances, or of played ones (`fail`, `seconds`)."""
        names = [f"{group}-{n}" for n in range(1, count + 1)]
        places = {name: {"fake": fake} if fake else local_instance(self.root(name)) for name in names}

        async def write() -> None:
            client = await connect_temporal(read_settings(self.environ))
            await declare_group(client, "shop", group, places, config=config, rollback=rollback)

        asyncio.run(write())

    def root(self, instance: str) -> Path:
        """The root prefix of a local instance."""
        return self.folder / "hosts" / instance

    def runs(self, instance: str) -> str:
        """The version that is installed on a local instance."""
        page = self.root(instance) / "srv/shop/index.html"
        return page.read_text().strip() if page.exists() else ""

    def bundle(self, version: str, *, fails: bool = False) -> str:
        """A revision on disk."""
        folder = self.folder / f"bundle-{version}"
        if not folder.exists():
            script = f"#!/bin/sh\necho hello from {version}\n" + ("echo disk full >&2\nexit 3\n" if fails else "")
            write_bundle(folder, version, script=script, location=AFTER)
        return str(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpSite]:
    """`towline up` in a folder that has a `worker.py` and a `workflows` of its own."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "worker.py").write_text("raise SystemExit('theirs')\n")
    (folder / "workflows").mkdir()
    port = free_port()
    environ = environment(folder, f"127.0.0.1:{port}")
    del environ["TOWLINE_STORE"]  # a client finds the worker's
    site = UpSite(folder, environ)
    site.up = site.start("up", "--port", str(port), "--ui-port", str(free_port()))
    assert site.up.stdout
    assert site.up.stdout.readline().startswith(f"Temporal  127.0.0.1:{port}")
    site.declare("web", count=3, config="HalfAtATime", rollback=True)
    yield site
    site.up.send_signal(signal.SIGTERM)
    _, err = site.up.communicate(timeout=60)
    assert site.up.returncode == 0, err


def until(condition: object, seconds: float = 30.0) -> None:
    """Waits until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def test_a_good_rollout_a_bad_one_that_is_taken_back_and_what_is_remembered(site: UpSite) -> None:
    good = site.run("deploy", "shop", "web", "--revision", site.bundle("v1"), "--id", "d-GOOD")
    assert good.status == 0, good.err
    assert "d-GOOD  shop/web  Succeeded" in good.out
    assert "Stop: towline stop d-GOOD" in good.err
    assert all(f"web-{n}  succeeded" in good.err for n in (1, 2, 3))
    assert [site.runs(f"web-{n}") for n in (1, 2, 3)] == ["v1"] * 3

    bad = site.run("deploy", "shop", "web", "--revision", site.bundle("v2", fails=True), "--json")
    assert bad.status == 1, bad.err
    assert [site.runs(f"web-{n}") for n in (1, 2, 3)] == ["v1"] * 3
    told = json.loads(bad.out)
    assert list(told) == ["deploymentInfo", "deploymentTargets", "progress"]
    assert told["deploymentInfo"]["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert told["deploymentInfo"]["rollbackInfo"]["rollbackDeploymentId"] in bad.err
    failed = [t["instanceTarget"] for t in told["deploymentTargets"] if t["instanceTarget"]["status"] == "Failed"]
    event = next(e for e in failed[0]["lifecycleEvents"] if e["lifecycleEventName"] == "AfterInstall")
    assert event["diagnostics"]["errorCode"] == "ScriptFailed"
    assert event["diagnostics"]["scriptName"] == AFTER
    assert "disk full" in event["diagnostics"]["logTail"]

    listed = json.loads(site.run("list", "--json").out)
    assert {one["deploymentId"] for one in listed} >= {"d-GOOD", bad.deployment_id}
    assert "hello from v2" in site.run("logs", bad.deployment_id, "--failed").out
    status = site.run("status", bad.deployment_id)
    assert status.status == 0
    assert f"AfterInstall failed in {AFTER}" in status.out
    assert site.run("status", bad.deployment_id, "--watch").status == 1
    page = site.folder / "report.html"
    assert site.run("report", bad.deployment_id, "--html", str(page)).status == 0
    assert "disk full" in page.read_text()


def test_the_same_words_attach_and_other_words_are_refused(site: UpSite) -> None:
    site.declare("again", seconds=0.1)
    words = ["deploy", "shop", "again", "--revision", site.bundle("v1"), "--id", "d-AGAIN"]
    assert site.run(*words).status == 0
    again = site.run(*words)
    assert again.status == 0
    assert "Attached to d-AGAIN." in again.err
    other = site.run(*words, "--description", "other")
    assert other.status == 2
    assert "already exists with different parameters" in other.err
    assert site.run("status", "d-AGAI").out.startswith("d-AGAIN")


def test_no_rollback_asked_for_exits_4(site: UpSite) -> None:
    site.declare("hurt", fail="AfterInstall")
    done = site.run("deploy", "shop", "hurt", "--revision", site.bundle("v1"))
    assert done.status == 4, done.err
    assert re.search("hurt-[12]: AfterInstall failed", done.out)


def test_hosts_that_could_not_be_brought_back_exit_4_and_are_named(site: UpSite) -> None:
    site.declare("incomplete", count=2, rollback=True)
    first = Path(site.bundle("incomplete-v1"))
    (first / AFTER).write_text('#!/bin/sh\n[ ! -e "$TOWLINE_ROOT/refuses" ]\n')
    assert site.run("deploy", "shop", "incomplete", "--revision", str(first)).status == 0
    (site.root("incomplete-1") / "refuses").touch()
    done = site.run("deploy", "shop", "incomplete", "--revision", site.bundle("v2", fails=True), "--json")
    assert done.status == 4, done.err
    assert json.loads(done.out)["progress"]["notRestored"] == ["incomplete-1"]
    assert "Rollback incomplete on " in site.run("status", done.deployment_id).out
    check_that_the_queue_is_held(site)


def check_that_the_queue_is_held(site: UpSite) -> None:
    """The group `incomplete` begins nothing more until it is released."""
    refused = site.run("deploy", "shop", "incomplete", "--revision", site.bundle("v3"), "--if-busy", "fail")
    assert refused.status == 1 and "towline release shop/incomplete" in refused.out, refused.out
    next_one = site.run("deploy", "shop", "incomplete", "--revision", site.bundle("v3"), "--detach").deployment_id
    until(lambda: "waits: the queue is held" in site.run("status", next_one).out)
    assert site.runs("incomplete-2") == "incomplete-v1"
    wrong = site.run("release", "shop/incomplte")
    assert wrong.status == 2 and "Did you mean shop/incomplete?" in wrong.err, wrong.err
    released = site.run("release", "shop/incomplete")
    assert released.status == 0 and "is incomplete on incomplete-1" in released.out, released.out
    assert site.run("status", next_one, "--watch").status == 0
    assert site.runs("incomplete-2") == "v3"
    assert "is not held" in site.run("release", "shop/incomplete").out


def test_warnings_come_first_strict_refuses_and_app_group_is_what_touched_something(site: UpSite) -> None:
    site.declare("warned", count=1)
    folder = Path(site.bundle("w1"))
    spec = folder / "appspec.yml"
    spec.write_text(spec.read_text() + "  ValidateServices:\n    - location: scripts/after.sh\n")
    done = site.run("deploy", "shop", "warned", "--revision", str(folder))
    assert done.status == 0, done.err
    assert done.err.count("ValidateServices") == 1
    assert done.err.index("ValidateServices") < done.err.index("Started")
    by = f"by {whoami()}"
    assert by in site.run("status", done.deployment_id).out
    assert whoami() in site.run("list", "--group", "warned").out
    assert json.loads(site.run("list", "--group", "warned", "--json").out)[0]["requestedBy"] == whoami()

    refused = site.run("deploy", "shop", "warned", "--revision", str(folder), "--strict")
    assert refused.status == 2, refused.out
    assert "ValidateServices" in refused.out
    wrong = site.run("deploy", "shop", "warned", "--revision", str(folder), "--config", "thirds")
    assert wrong.status == 2
    assert done.deployment_id in site.run("status", "shop/warned").out
    back = site.run("rollback", "shop/warned", "--yes")
    assert back.status == 0, back.err
    assert site.runs("warned-1") == ""

    log = (site.folder / "data/worker.log").read_text()
    assert "no deployment configuration thirds" in log
    assert "Traceback" not in log


def test_names_that_nobody_declared_exit_2(site: UpSite) -> None:
    done = site.run("deploy", "shop", "wbe", "--revision", site.bundle("v1"))
    assert done.status == 2, done.out
    assert "has no deployment group wbe" in done.out
    assert site.run("status", "shop/nothing").status == 2
    done = site.run("deploy", "shop", "web", "--revision", site.bundle("v1"), "--config", "thirds")
    assert done.status == 2, done.out


def test_a_host_whose_disk_was_emptied_is_named_and_recorded_by_what_it_says(site: UpSite) -> None:
    site.declare("emptied", count=2, rollback=True)
    assert site.run("deploy", "shop", "emptied", "--revision", site.bundle("v1")).status == 0
    shutil.rmtree(site.root("emptied-1"))
    bad = site.run("deploy", "shop", "emptied", "--revision", site.bundle("bad", fails=True), "--id", "d-EMPTIED")
    assert bad.status == 4, bad
    assert "The fleet is whole" not in bad.out
    assert "emptied-1" in bad.out.partition("Rollback d-")[2]
    report = json.loads(site.run("report", "d-EMPTIED").out)
    assert report["progress"]["notRestored"] == ["emptied-1"]
    assert (site.runs("emptied-1"), site.runs("emptied-2")) == ("", "v1")
    rows = {row.split()[0]: row for row in site.run("instances", "shop/emptied").out.splitlines()}
    assert (
        "bundle-v1" in rows["emptied-2"] and "bundle-" not in rows["emptied-1"] and "not restored" in rows["emptied-1"]
    )
    held = site.run("deploy", "shop", "emptied", "--revision", site.bundle("v1"), "--detach", "--id", "d-AFTER-EMPTIED")
    assert held.status == 0
    until(lambda: "towline release shop/emptied" in site.run("status", "d-AFTER-EMPTIED").out)
    assert site.run("release", "shop/emptied").status == 0
    assert site.run("status", "d-AFTER-EMPTIED", "--watch").status == 0
    assert (site.runs("emptied-1"), site.runs("emptied-2")) == ("v1", "v1")


def test_an_older_local_release_is_deployed_again_by_id_digest_and_label(site: UpSite) -> None:
    site.declare("older", count=1)
    for version in ("old", "new"):
        site.run("deploy", "shop", "older", "--revision", site.bundle(version), "--id", f"d-AGAIN-{version}")
    shutil.rmtree(site.bundle("old"))
    told = json.loads(site.run("status", "d-AGAIN-old", "--json").out)["deploymentInfo"]["revision"]["storeLocation"]
    label = f"bundle-old (sha256 {told['digest'][:7]})"
    for text in ("d-AGAIN-old", told["digest"][:9], label):
        assert site.runs("older-1") == "new"
        done = site.run("deploy", "shop", "older", "--revision", text)
        assert done.status == 0, done.err
        assert f"Revision of the group's history: {label}" in done.err
        assert site.runs("older-1") == "old"
        assert site.run("deploy", "shop", "older", "--revision", "bundle-new").status == 0
    missing = site.run("deploy", "shop", "older", "--revision", "d-NEVER")
    assert missing.status == 2
    assert "no deployment of shop/older had it" in missing.err


def test_the_web_uis_link_lists_deployments_alone(site: UpSite) -> None:
    assert site.up and site.up.stdout
    word, link = site.up.stdout.readline().removeprefix("Web ").split()
    assert word == "UI"
    site.run("deploy", "shop", "nowhere", "--revision", "s3://b/k.tgz", "--id", "d-LISTED")

    def listed(address: str) -> list[tuple[str, str]]:
        with urllib.request.urlopen(address.replace("/namespaces/", "/api/v1/namespaces/")) as answer:
            found = json.load(answer).get("executions", [])
        return [(one["execution"]["workflowId"], one["type"]["name"]) for one in found]

    until(lambda: "d-LISTED" in dict(listed(link)))
    assert {kind for _, kind in listed(link)} == {"Deployment"}
    assert "Catalogue" in dict(listed(link.partition("?")[0])).values()


def test_what_up_writes_is_its_users_alone(site: UpSite) -> None:
    data = Path(site.environ["TOWLINE_DATA_DIR"])
    written = [path for path in (data, *data.rglob("*")) if not path.is_symlink()]
    assert {"temporal.db", "temporal.log", "worker.log"} <= {path.name for path in written}
    assert [str(path) for path in written if path.stat().st_mode & 0o077] == []


def test_pause_resume_stop_and_ctrl_c(site: UpSite) -> None:
    site.declare("slow", count=3, config="OneAtATime", seconds=60)
    process = site.start("deploy", "shop", "slow", "--revision", site.bundle("v1"), "--id", "d-SLOW")
    until(lambda: "in flight: slow-" in site.run("status", "d-SLOW").out)
    paused = site.run("pause", "d-SLOW")
    assert paused.status == 0
    assert "slow-1" in site.run("status", "shop/slow").out
    told = json.loads(site.run("status", "d-SLOW", "--json").out)
    assert told["progress"]["paused"] == "pausing"
    assert paused.out == "d-SLOW: pausing, 1 in flight: slow-1\n"
    assert "Go on with: towline resume d-SLOW" in site.run("status", "d-SLOW").out
    assert told["deploymentTargets"][0]["instanceTarget"]["status"] == "InProgress"
    assert site.run("resume", "d-SLOW").status == 0

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Detached: d-SLOW keeps running" in err
    assert "Stop it with: towline stop d-SLOW" in err
    assert "Traceback" not in err

    watcher = site.start("status", "d-SLOW", "--watch")
    stopped = site.run("stop", "d-SLOW", "--reason", "lunch")
    assert stopped.status == 0, stopped.err
    assert "d-SLOW is stopping. No further instance starts; 1 instance is still in flight:\n  slow-1 " in stopped.out
    out, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 3, err
    assert "MANUAL_STOP: lunch" in out
    late = site.run("stop", "d-SLOW")
    assert late.status == 2
    assert "has ended already" in late.err


def test_stop_says_what_still_runs_since_when_and_what_begins_next(site: UpSite) -> None:
    site.declare("held", count=2, config="OneAtATime")
    go = site.folder / "go-on"
    bundle = Path(site.bundle("waits"))
    (bundle / AFTER).write_text(f"#!/bin/sh\nuntil test -e {go}; do sleep 0.1; done\n")
    site.run("deploy", "shop", "held", "--revision", str(bundle), "--id", "d-WAITS", "--detach")
    until(lambda: AFTER in site.run("status", "d-WAITS").out)
    site.run("deploy", "shop", "held", "--revision", site.bundle("v1"), "--id", "d-NEXT", "--detach")
    until(lambda: "behind d-WAITS" in site.run("status", "d-NEXT").out)
    stopped = site.run("stop", "d-WAITS")
    assert stopped.status == 0, stopped.err
    first, row = stopped.out.splitlines()
    assert first == "d-WAITS is stopping. No further instance starts; 1 instance is still in flight:"
    assert re.fullmatch(rf"  held-\d  AfterInstall  {AFTER}  since \d\d:\d\d:\d\d \([\d.]+ s\)", row)
    assert "To end their hooks now: towline stop d-WAITS --now" in stopped.err
    assert "Next in shop/held: d-NEXT begins when d-WAITS has ended." in stopped.err
    queued = site.run("stop", "d-NEXT")
    assert "d-NEXT" in queued.out and "in flight:" not in queued.out
    go.touch()
    assert site.run("status", "d-WAITS", "--watch").status == 3
    assert site.run("status", "d-NEXT", "--watch").status == 3


def test_the_status_of_an_open_deployment_has_every_instance(site: UpSite) -> None:
    site.declare("many", count=300, config="OneAtATime", seconds=60)  # more than a shard holds
    site.run("deploy", "shop", "many", "--revision", site.bundle("v1"), "--id", "d-MANY", "--detach")
    until(lambda: "in flight: many-1;" in site.run("status", "d-MANY").out)
    targets = [
        one["instanceTarget"] for one in json.loads(site.run("status", "d-MANY", "--json").out)["deploymentTargets"]
    ]
    assert [one["targetId"] for one in targets] == [f"many-{n}" for n in range(1, 301)]
    assert [one["status"] for one in targets] == ["InProgress"] + ["Pending"] * 299
    assert site.run("stop", "d-MANY", "--now").status == 0
    assert site.run("status", "d-MANY", "--watch").status == 3


def test_detached_prints_the_id_alone(site: UpSite) -> None:
    site.declare("away", seconds=0.1)
    done = site.run("deploy", "shop", "away", "--revision", site.bundle("v1"), "--detach")
    assert done.status == 0
    assert re.fullmatch(r"d-[A-Z0-9]{9}\n", done.out)
    assert site.run("status", done.out.strip(), "--watch").status == 0


def test_a_plan_touches_nothing_and_a_rollback_goes_back(site: UpSite) -> None:
    site.declare("back", count=2, config="AllAtOnce")
    assert site.run("deploy", "shop", "back", "--revision", site.bundle("v1")).status == 0
    before = sorted((str(p), p.stat().st_mtime_ns) for p in site.folder.joinpath("hosts").rglob("*"))
    plan = site.run("deploy", "shop", "back", "--revision", site.bundle("v3"), "--plan")
    assert plan.status == 0, plan.err
    assert "2 instances, at most 2 at once" in plan.out
    assert "On every instance:\n  ~ /srv/shop/index.html" in plan.out
    assert f"run AfterInstall: {AFTER}" in plan.out
    assert sorted((str(p), p.stat().st_mtime_ns) for p in site.folder.joinpath("hosts").rglob("*")) == before

    third = site.run("deploy", "shop", "back", "--revision", site.bundle("v3"))
    assert site.runs("back-1") == "v3"
    plan = site.run("rollback", third.deployment_id, "--plan")
    assert "On every instance, back to bundle-v1 (sha256 " in plan.out
    assert f"  ~ /srv/shop/index.html\n  0 files unchanged\n  run AfterInstall: {AFTER}\n" in plan.out
    assert site.runs("back-1") == "v3"
    undone = site.run("rollback", third.deployment_id, "--yes")
    assert undone.status == 0, undone.err
    assert [site.runs("back-1"), site.runs("back-2")] == ["v1", "v1"]
    again = site.run("rollback", undone.deployment_id, "--yes")
    assert again.status == 2
    first = json.loads(site.run("list", "--group", "back", "--json").out)[-1]["deploymentId"]
    late = site.run("rollback", first, "--yes")
    assert late.status == 2, late.out
    assert f"{first} is not what runs in shop/back any more: {undone.deployment_id} followed it" in late.err
    assert site.runs("back-1") == "v1", "and nothing is left to restore"
    empty = site.run("deploy", "shop", "nobody", "--revision", site.bundle("v1"))
    assert empty.status == 2 and "not known yet" not in empty.out
    nothing = site.run("rollback", empty.deployment_id, "--yes")
    assert nothing.status == 2 and "touched no instance" in nothing.err
    page = site.run("report", first, "--html", str(site.folder / "none" / "x.html"))
    assert page.status == 2 and "cannot be written: No such file or directory" in page.err
    assert "is a rollback itself" in again.err


def test_logs_of_a_hook_that_is_at_work_come_from_the_host(site: UpSite) -> None:
    site.declare("busy", count=1)
    script = Path(site.bundle("v5")) / AFTER
    script.write_text("#!/bin/sh\necho begun\nwhile [ ! -e $TOWLINE_ROOT/go ]; do sleep 0.1; done\necho let go\n")
    deployment = site.run("deploy", "shop", "busy", "--revision", site.bundle("v5"), "--detach").out.strip()
    until(lambda: "[stdout]begun" in site.run("logs", deployment, "busy-1").out)
    follower = site.start("logs", deployment, "-f")
    (site.root("busy-1") / "go").write_text("")
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0, err
    assert [line.rpartition("]")[2] for line in out.splitlines() if "[stdout]" in line] == ["begun", "let go"]
    assert all(line.startswith("busy-1  ") for line in out.splitlines())
    assert site.run("logs", deployment, "busy-9").status == 2


def test_what_temporal_has_forgotten_is_read_from_the_store(site: UpSite) -> None:
    site.declare("old", seconds=0.1)
    words = ["deploy", "shop", "old", "--revision", site.bundle("v1"), "--id", "d-OLDONE"]
    assert site.run(*words).status == 0
    before = json.loads(site.run("status", "d-OLDONE", "--json").out)
    asyncio.run(forget(site.environ["TEMPORAL_ADDRESS"], "d-OLDONE"))
    assert json.loads(site.run("status", "d-OLDONE", "--json").out) == before
    assert site.run("status", "d-OLDO").out.startswith("d-OLDONE  shop/old  Succeeded")
    assert site.run("status", "shop/old", "--watch").status == 0
    assert "d-OLDONE" in site.run("list", "--group", "old").out
    assert json.loads(site.run("report", "d-OLDONE").out)["deploymentInfo"]["status"] == "Succeeded"
    again = site.run(*words)
    assert again.status == 0
    assert "has ended already" in again.err
    assert site.run(*words, "--description", "other").status == 2


async def forget(address: str, deployment_id: str) -> None:
    """Has Temporal delete a closed workflow, as its retention would."""
    client = await Client.connect(address)
    request = DeleteWorkflowExecutionRequest(
        namespace="default", workflow_execution=WorkflowExecution(workflow_id=deployment_id)
    )
    await client.workflow_service.delete_workflow_execution(request)
    query = f"WorkflowId = '{deployment_id}'"
    while [one async for one in client.list_workflows(query)]:
        await asyncio.sleep(0.1)


async def test_without_a_worker_sight_is_lost_and_a_stop_is_noted(temporal: TemporalServer, tmp_path: Path) -> None:
    client = await temporal.new_namespace()
    site = UpSite(tmp_path, environment(tmp_path, temporal.address, client.namespace))
    words = ["deploy", "shop", "web", "--revision", "s3://b/k.tgz", "--id", "d-LOST", "--patience", "1"]
    done = await asyncio.to_thread(site.run, *words)
    assert done.status == 5, done.err
    assert "no worker answers" in done.err
    assert "Lost sight of d-LOST: the rollout may go on. See: towline status d-LOST --watch" in done.err
    looked = await asyncio.to_thread(site.run, "status", "d-LOST")
    assert looked.status == 5
    assert "towline worker" in looked.err
    stopped = await asyncio.to_thread(site.run, "stop", "d-LOST")
    assert stopped.status == 5
    assert "noted in Temporal" in stopped.err
    history = await client.get_workflow_handle("d-LOST").fetch_history()
    signals = [e.workflow_execution_signaled_event_attributes.signal_name for e in history.events]
    assert "cancel" in signals


def test_a_namespace_that_is_not_there_is_no_empty_catalogue(site: UpSite) -> None:
    elsewhere = UpSite(site.folder, {**site.environ, "TEMPORAL_NAMESPACE": "nope"})
    for words in (["instances"], ["list"], ["status", "d-1"], ["deploy", "shop", "web", "--revision", "s3://b/k.tgz"]):
        done = elsewhere.run(*words)
        assert done.status == 5, (words, done)
        assert "Namespace nope is not found.  See TEMPORAL_NAMESPACE." in done.err


def test_up_refuses_a_data_directory_that_is_in_use_and_a_port_that_is_taken(site: UpSite, tmp_path: Path) -> None:
    twice = site.run("up")
    assert twice.status == 2
    assert "another `towline up` uses" in twice.err
    port = site.environ["TEMPORAL_ADDRESS"].rpartition(":")[2]
    taken = site.run("up", "--data-dir", str(tmp_path / "other"), "--port", port)
    assert taken.status == 2
    assert f"port {port} is in use" in taken.err
    shutil.rmtree(tmp_path / "other")


def test_up_serves_the_api_on_request_and_ends_it_too(site: UpSite, tmp_path: Path) -> None:
    port, api_port = free_port(), free_port()
    environ = {**site.environ, "TEMPORAL_ADDRESS": f"127.0.0.1:{port}", "TOWLINE_DATA_DIR": str(tmp_path / "data")}
    other = UpSite(tmp_path, environ)
    up = other.start("up", "--port", str(port), "--ui-port", str(free_port()), "--api-port", str(api_port))
    assert up.stdout
    lines = [up.stdout.readline() for _ in range(3)]
    assert f"API       http://127.0.0.1:{api_port} " in lines[2]
    client = boto3.client(
        "codedeploy",
        endpoint_url=f"http://127.0.0.1:{api_port}",
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    client.create_application(applicationName="shop")
    assert client.list_applications()["applications"] == ["shop"]
    up.send_signal(signal.SIGTERM)
    up.communicate(timeout=60)
    # Not by the port, which may be another test's by now.
    until(lambda: subprocess.run(["pgrep", "-f", f"towline api .*--port {api_port}$"], check=False).returncode == 1)


def test_temporal_that_goes_away_is_told_in_words_alone(site: UpSite, tmp_path: Path) -> None:
    port = free_port()
    environ = {**site.environ, "TEMPORAL_ADDRESS": f"127.0.0.1:{port}", "TOWLINE_DATA_DIR": str(tmp_path / "data")}
    other = UpSite(tmp_path, environ)
    up = other.start("up", "--port", str(port), "--ui-port", str(free_port()))
    assert up.stdout
    assert up.stdout.readline().startswith("Temporal")
    other.declare("gone", count=1, seconds=60)
    watcher = other.start(
        "deploy", "shop", "gone", "--revision", other.bundle("v1"), "--id", "d-GONE", "--patience", "1"
    )
    until(lambda: "in flight: gone-1" in other.run("status", "d-GONE").out)
    up.send_signal(signal.SIGTERM)
    up.communicate(timeout=60)
    _, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 5, err
    assert "Lost sight of d-GONE" in err
    assert "temporalio_client" not in err
