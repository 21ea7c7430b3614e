"""The plan of an undo: told beforehand, it is what the undo then does; asking touches nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.host.local_host import Event, LocalHost, script
from tests.host.test_undo import bundle, end, undo

pytestmark = pytest.mark.slow


def after_a_failure(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two", fails="AfterInstall"))


def after_a_success(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    host.deploy("d-2", *bundle("two"))


def where_nothing_ran_before(host: LocalHost) -> None:
    host.deploy("d-2", *bundle("two", fails="ValidateService"))


def where_a_file_of_theirs_was_replaced(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    theirs = host.path("/srv/app/two.txt")
    theirs.write_text("the user's")
    archive, plan = bundle("two", fails="AfterInstall")
    host.deploy("d-2", archive, {**plan, "file_exists_behavior": "OVERWRITE"})
    assert theirs.read_text() == "x"


def where_nothing_ran_before_and_a_file_was_replaced(host: LocalHost) -> None:
    theirs = host.path("/srv/app/name.txt")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("the user's")
    archive, plan = bundle("two", fails="AfterInstall")
    host.deploy("d-2", archive, {**plan, "file_exists_behavior": "OVERWRITE"})


def where_nothing_was_changed(host: LocalHost) -> None:
    host.deploy("d-1", *bundle("one"))
    archive, plan = bundle("two")
    plan["hooks"]["ApplicationStop"] = [script("fail.sh")]
    host.deploy("d-1", archive, plan)


def app(host: LocalHost) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in host.path("/srv/app").rglob("*") if path.is_file()}


def everything(host: LocalHost) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(host.root.rglob("*"))}


def plan_of_undo(host: LocalHost) -> Event:
    return host.ask("plan", deployment="preview", undo="d-2")


@pytest.mark.parametrize(
    "story",
    [
        after_a_failure,
        after_a_success,
        where_nothing_ran_before,
        where_a_file_of_theirs_was_replaced,
        where_nothing_ran_before_and_a_file_was_replaced,
        where_nothing_was_changed,
    ],
)
def test_the_plan_of_an_undo_is_what_it_does(host: LocalHost, story: Callable[[LocalHost], None]) -> None:
    story(host)
    all_before, before = everything(host), app(host)
    told = plan_of_undo(host)
    assert everything(host) == all_before, "only asked"
    assert told["kind"] == "plan" and told["complete"], told
    call = undo(host, "d-2")
    assert end(call)["outcome"] == "succeeded", call.events
    after = app(host)
    assert told["removed"] == sorted(before.keys() - after.keys())
    assert told["added"] == sorted(after.keys() - before.keys())
    assert told["changed"] == [path for path in sorted(before.keys() & after.keys()) if before[path] != after[path]]
    ran = [{"event": event["event"], "location": event["script"]} for event in call.kinds("script_started")]
    assert told["run"] == ran
    assert bool(told.get("nothing")) == end(call)["nothing_to_do"]
    groups = host.ask("inventory")["groups"].get("group-1") or {"installed": None}
    back = told["back_to"] and told["back_to"]["sha256"]
    assert back == (groups["installed"] and groups["installed"]["sha256"])


def test_the_plan_of_an_undo_is_refused_as_the_undo_would_be(host: LocalHost) -> None:
    after_a_success(host)
    host.deploy("d-3", *bundle("three"))
    told = plan_of_undo(host)
    assert (told["kind"], told["code"]) == ("refused", "ChangedSince")
    assert host.ask("plan", deployment="preview", undo="../x")["code"] == "InvalidOrder"
