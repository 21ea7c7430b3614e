"""Undo: the host goes back to what it ran before, as its own journal of the undone deployment tells."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import Call, Event, LocalHost, plan_of, revision_of, script, tar_of

pytestmark = pytest.mark.slow

SAY = '#!/bin/sh\necho "$LIFECYCLE_EVENT {name}" >> "$TOWLINE_ROOT/said"\n'
HOOKS = {
    "ApplicationStop": [script("say.sh")],
    "ApplicationStart": [script("say.sh")],
}


def bundle(name: str, fails: str = "", **files: str) -> tuple[bytes, dict[str, Any]]:
    """A revision that writes down what it is told; `fails` names the event that fails."""
    content = {"app/name.txt": name, f"app/{name}.txt": "x", "say.sh": SAY.format(name=name), **files}
    content["fail.sh"] = "#!/bin/sh\nexit 3\n"
    hooks = {**HOOKS, **({fails: [script("say.sh"), script("fail.sh")]} if fails else {})}
    return tar_of(content), plan_of({"app": "/srv/app"}, hooks)


def undo(host: LocalHost, undone: str, deployment: str = "d-undo", **changes: Any) -> Call:
    call = host.call("undo", deployment, undo=undone, **changes)
    call.finish(changes.get("archive"))
    return call


def end(call: Call) -> Event:
    return call.events[-1]


def said(host: LocalHost) -> list[str]:
    return host.path("/said").read_text().split("\n")[:-1]


def names(host: LocalHost) -> list[str]:
    app = host.path("/srv/app")
    return sorted(os.listdir(app)) if app.exists() else []


@pytest.mark.parametrize("event", ["BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService"])
def test_a_failed_deployment_is_undone_to_what_ran_before(host: LocalHost, event: str) -> None:
    host.deploy("d-1", *bundle("one"))
    assert end(host.deploy("d-2", *bundle("two", fails=event)))["outcome"] == "failed"
    call = undo(host, "d-2")
    assert end(call)["outcome"] == "succeeded", call.events
    assert names(host) == ["name.txt", "one.txt"]
    assert said(host)[-1] == "ApplicationStart one"
    groups = host.ask("inventory")["groups"]["group-1"]
    assert groups["succeeded"]["deployment"] == groups["installed"]["deployment"] == "d-undo"
    assert groups["succeeded"]["label"] == host.journal("d-1")[0]["revision"]["label"]
    assert not call.kinds("need"), "nothing is fetched again"


def test_the_archive_of_an_undo_is_the_kept_one_linked(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    undo(host, "d-2")
    assert os.path.samefile(host.deployment("d-1") / "bundle.tar", host.deployment("d-undo") / "bundle.tar")


def test_undo_of_the_first_deployment_cleans_the_host(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one", fails="ValidateService"))
    call = undo(host, "d-1")
    assert end(call)["outcome"] == "succeeded" and not end(call)["nothing_to_do"]
    assert names(host) == []
    assert said(host)[-1] == "ApplicationStop one"
    assert host.ask("inventory")["groups"] == {}


def test_undo_of_a_deployment_that_changed_nothing_does_nothing(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    for number, undone in enumerate(["d-never", "d-1b"]):
        call = undo(host, undone, f"d-undo-{number}")
        assert end(call)["outcome"] == "succeeded" and end(call)["nothing_to_do"]
    assert names(host) == ["name.txt", "one.txt"]
    assert "ApplicationStop one" not in said(host)


def test_a_host_that_was_emptied_says_what_is_there_now(host: LocalHost) -> None:
    """Re-imaged between two deployments it is cleaned; re-imaged after the second it knows nothing of it."""
    host.deploy("d-1", *bundle("one"))
    shutil.rmtree(host.root)
    failed = host.deploy("d-2", *bundle("two", fails="AfterInstall")).events[-1]
    assert failed["now"]["installed"]["deployment"] == "d-2" and failed["now"]["succeeded"] is None
    empty = {"installed": None, "succeeded": None}
    cleaned = end(undo(host, "d-2"))
    assert (cleaned["undone"], cleaned["now"], cleaned["nothing_to_do"]) == ("cleaned", empty, False)
    assert names(host) == []
    shutil.rmtree(host.root)
    unknown = end(undo(host, "d-2", "d-undo-2"))
    assert (unknown["undone"], unknown["now"], unknown["nothing_to_do"]) == ("unknown", empty, True)


def test_an_undo_says_what_it_has_put_back(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    restored = end(undo(host, "d-2"))
    assert restored["undone"] == "restored"
    assert restored["now"]["succeeded"]["sha256"] == host.journal("d-1")[0]["revision"]["sha256"]
    nothing = end(undo(host, "d-2", "d-undo-2"))
    assert (nothing["undone"], nothing["now"]) == ("nothing", restored["now"])


def test_undo_twice_does_it_once(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    undo(host, "d-2")
    before = said(host)
    again = undo(host, "d-2", "d-undo-again")
    assert end(again)["nothing_to_do"] and said(host) == before


def test_an_undo_that_failed_may_be_tried_again(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    host.path("/block").mkdir()
    archive, plan = bundle("one")
    say = host.deployment("d-1") / "bundle.tar"
    assert say.exists()
    started = host.path("/said")
    started.unlink()
    started.mkdir()  # now `say.sh` fails, also in ApplicationStart
    assert end(undo(host, "d-2", "d-undo-1"))["failed_event"] == "ApplicationStart"
    started.rmdir()
    assert end(undo(host, "d-2", "d-undo-2"))["outcome"] == "succeeded"
    assert said(host)[-1] == "ApplicationStart one"
    assert archive and plan


def test_undo_where_another_deployment_came_later_is_refused(host: LocalHost) -> None:
    for name in ("one", "two", "three"):
        host.deploy(f"d-{name}", *bundle(name))
    call = undo(host, "d-two")
    assert (end(call)["kind"], end(call)["code"]) == ("refused", "ChangedSince")
    assert names(host) == ["name.txt", "three.txt"]


def test_undo_goes_back_over_failed_deployments_to_what_succeeded(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    host.deploy("d-3", *bundle("three", fails="AfterInstall"))
    assert end(undo(host, "d-3"))["outcome"] == "succeeded"
    assert names(host) == ["name.txt", "one.txt"]


def test_what_last_succeeded_survives_many_failures(host: LocalHost) -> None:
    host.deploy("d-good", *bundle("good"))
    for number in range(4):
        host.deploy(f"d-bad-{number}", *bundle("bad", fails="AfterInstall"), limits={"max_revisions": 2})
    assert end(undo(host, "d-bad-3"))["outcome"] == "succeeded"
    assert names(host) == ["good.txt", "name.txt"]


def test_overwritten_files_come_back(host: LocalHost) -> None:
    theirs = host.path("/srv/app/name.txt")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("the user's")
    theirs.chmod(0o640)
    os.utime(theirs, (1000, 1000))
    archive, plan = bundle("one", fails="AfterInstall")
    host.deploy("d-1", archive, {**plan, "file_exists_behavior": "OVERWRITE"})
    assert theirs.read_text() == "one"
    assert end(undo(host, "d-1"))["outcome"] == "succeeded"
    assert theirs.read_text() == "the user's"
    assert (theirs.stat().st_mode & 0o777, theirs.stat().st_mtime) == (0o640, 1000)
    assert names(host) == ["name.txt"]
    assert not list(host.state("kept").glob("*/*"))


def test_an_overwritten_link_comes_back_with_what_it_led_to(host: LocalHost) -> None:
    host.path("/srv/app").mkdir(parents=True)
    target = host.path("/srv/target.txt")
    target.write_text("the user's")
    link = host.path("/srv/app/name.txt")
    link.symlink_to("../target.txt")
    archive, plan = bundle("one", fails="AfterInstall")
    host.deploy("d-1", archive, {**plan, "file_exists_behavior": "OVERWRITE"})
    assert target.read_text() == "one"
    undo(host, "d-1")
    assert os.readlink(link) == "../target.txt" and target.read_text() == "the user's"


def test_a_changed_bundle_is_not_gone_back_to(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    with (host.deployment("d-1") / "bundle.tar").open("ab") as file:
        file.write(b"more")
    call = undo(host, "d-2")
    assert end(call)["code"] == "NothingToGoBackTo"
    assert names(host) == ["name.txt", "two.txt"], "nothing was begun"


def wipe_archive(directory: Path) -> None:
    (directory / "bundle.tar").unlink()
    shutil.rmtree(directory / "deployment-archive")


@pytest.mark.parametrize("wipe", [shutil.rmtree, wipe_archive])
def test_an_archive_that_somebody_has_removed_is_sent_again(host: LocalHost, wipe: Callable[[Path], None]) -> None:
    archive, plan = bundle("one")
    host.deploy("d-1", archive, plan)
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))
    wipe(host.deployment("d-1"))
    told = host.ask("plan", deployment="preview", undo="d-2")
    assert told["back_to"]["sha256"] == revision_of(archive)["sha256"] and not told["complete"]
    assert "it is sent again" in told["warnings"][0]
    with host.call("undo", "d-undo", undo="d-2") as call:
        assert call.until("need", what="revision")["deployment"] == "d-1"
        call.say({"reply": "revision", "revision": revision_of(archive), "plan": plan, "url": None})
        call.until("need", what="archive")
        call.send(archive)
        assert call.finish()["undone"] == "restored"
    assert names(host) == ["name.txt", "one.txt"] and said(host)[-1] == "ApplicationStart one"
    host.deploy("d-3", *bundle("three", fails="AfterInstall"))
    assert end(undo(host, "d-3", "d-undo-3"))["outcome"] == "succeeded" and names(host) == ["name.txt", "one.txt"]


@pytest.mark.parametrize("has", ["nothing", "another archive"])
def test_an_archive_that_cannot_be_had_again_is_said_before_anything_is_begun(host: LocalHost, has: str) -> None:
    host.deploy("d-1", *bundle("one"))
    archive, plan = bundle("two", fails="AfterInstall")
    host.deploy("d-2", archive, plan)
    shutil.rmtree(host.deployment("d-1"))
    with host.call("undo", "d-undo", undo="d-2") as call:
        call.until("need", what="revision")
        if has == "nothing":
            call.say({"reply": "none", "code": "NotFound", "message": "no such deployment"})
        else:
            call.say({"reply": "revision", "revision": revision_of(archive), "plan": plan})
        refused = call.finish()
    assert (refused["kind"], refused["code"]) == ("refused", "NothingToGoBackTo")
    assert "d-1" in refused["message"] and ("no such deployment" in refused["message"]) == (has == "nothing")
    assert names(host) == ["name.txt", "two.txt"]


def test_a_failing_stop_script_does_not_keep_a_host_from_going_back(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    archive, plan = bundle("two", fails="AfterInstall")
    plan["hooks"]["ApplicationStop"] = [script("fail.sh")]
    host.deploy("d-2", archive, plan)
    call = undo(host, "d-2")
    assert end(call)["outcome"] == "succeeded"
    assert [event["status"] for event in call.kinds("event_ended")][0:2] == ["Failed", "Succeeded"]


def test_what_aws_s_agent_left_is_taken_over_and_gone_back_to(host: LocalHost) -> None:
    """The agent's directories, list and pointers, and no plan: the caller compiles it from the archive's AppSpec."""
    agent = host.deployment("d-OLD")
    archive = agent / "deployment-archive"
    (archive / "app").mkdir(parents=True)
    (archive / "app" / "old.txt").write_text("old")
    (archive / "say.sh").write_text(SAY.format(name="old"))
    (archive / "say.sh").chmod(0o755)
    (archive / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    instructions = agent.parents[1] / "deployment-instructions"
    instructions.mkdir()
    (instructions / "group-1_last_successful_install").write_text(str(agent))
    installed = host.path("/srv/app/old.txt")
    installed.parent.mkdir(parents=True)
    installed.write_text("old")
    (instructions / "group-1-cleanup").write_text(f"{installed.parent}\n{installed}\n")
    old = plan_of({"app": "/srv/app"}, HOOKS)

    new, plan = bundle("two", fails="AfterInstall")
    with host.call("deploy", "d-2", new, plan=plan) as call:
        assert call.finish(new, {"d-OLD": old})["failed_event"] == "AfterInstall"
    assert call.kinds("need")[-1]["appspec"] == "version: 0.0\nos: linux\n"
    assert said(host)[0] == "ApplicationStop old"
    assert names(host) == ["name.txt", "two.txt"]

    assert end(undo(host, "d-2"))["outcome"] == "succeeded"
    assert names(host) == ["old.txt"]
    assert said(host)[-1] == "ApplicationStart old"
