"""docs/host-protocol.md is the contract: what the runner reads and says, and what the control side sends, is on it."""

from __future__ import annotations

import re

import pytest

from tests.harness import ROOT
from tests.harness.host.local_host import RUNNER, Event, LocalHost, plan_of, script, tar_of

PAGE = (ROOT / "docs" / "host-protocol.md").read_text()
# What the connected end adds to an order for the detached runner; no caller sends these.
INTERNAL = {"undo_kind", "undo_from", "nothing"}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table."""
    lines = [line for line in section(title).split("\n") if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def words(text: str) -> set[str]:
    """Everything in code quotes, and the plain keys within them."""
    return {word for quoted in re.findall(r"`([^`]*)`", text) for word in re.findall(r"[A-Za-z_]+", quoted)}


ORDER_FIELDS = {name for row in rows("The order") for name in words(row[0])}
EVENT_FIELDS = {kind: words(row[-1]) for row in rows("Events") for kind in words(row[0])}
JOURNALED = {kind for row in rows("Events") if row[1].startswith("yes") for kind in words(row[0])}


def test_every_field_that_the_runner_reads_of_an_order_is_on_the_page() -> None:
    source = RUNNER.read_text()
    read = set(re.findall(r"\border(?:\.get\(|\[)\"(\w+)\"", source))
    assert len(read) > 15 and read - INTERNAL <= ORDER_FIELDS


def test_every_limit_that_the_runner_reads_is_on_the_page() -> None:
    limits = next(words(row[1]) for row in rows("The order") if row[0] == "`limits`")
    assert set(re.findall(r"limits(?:\.get\(|\[)\"(\w+)\"", RUNNER.read_text())) <= limits


def test_what_the_control_side_sends_is_on_the_page() -> None:
    source = (ROOT / "towline/model/host/order.py").read_text()
    body = source[source.index("def work_order(") :]
    sent = set(re.findall(r"^        \"(\w+)\":", body, re.MULTILINE)) - {
        "label",
        "sha256",
        "size",
        "bundle_type",
        "unpacked_bytes",
        "env",
    }
    assert len(sent) > 15 and sent <= ORDER_FIELDS


def check_event(event: Event) -> None:
    kind = event["kind"]
    fields = set(event) - {"kind"}
    assert kind in EVENT_FIELDS, event
    if "seq" in event:
        assert kind in JOURNALED
        fields -= {"v", "seq", "time", "offset"}
    else:
        assert kind not in JOURNALED
    assert fields <= EVENT_FIELDS[kind] | {"name"}, (kind, fields - EVENT_FIELDS[kind])


def test_every_event_of_a_life_is_on_the_page(host: LocalHost) -> None:
    """A deployment, one that fails, one that is refused, an undo, an attached end, one with a warning."""
    daemon = "#!/bin/sh\n(sleep 1) &\nexit 0\n"
    archive = tar_of({"say.sh": "#!/bin/sh\necho $1\n", "daemon.sh": daemon, "fail.sh": "#!/bin/sh\nexit 3\n"})
    good = plan_of(hooks={"AfterInstall": [script("say.sh"), script("daemon.sh")]})
    calls = [
        host.deploy("d-1", archive, good),
        host.deploy("d-2", archive, plan_of(hooks={"AfterInstall": [script("fail.sh")]})),
        host.deploy("d-2", archive, good, run="other"),
        host.deploy("d-1", archive, good),
        host.deploy("d-3", archive, good, started=True),
    ]
    with host.call("undo", "d-4", undo="d-2") as undo:
        undo.finish()
    kills = tar_of({"stop.sh": "#!/bin/sh\nkill -9 $PPID\n"})
    plan = plan_of(hooks={"ApplicationStop": [script("stop.sh")]})
    for deployment in ("d-5", "d-6"):
        calls.append(host.deploy(deployment, kills, plan, ignore_application_stop_failures=True))
    events = [event for call in [*calls, undo] for event in call.events]
    for event in events:
        check_event(event)
    said = {event["kind"] for event in events}
    assert said == set(EVENT_FIELDS) - {"waiting"}, "what has no example here is not checked"


def test_each_word_for_what_an_undo_has_done_is_sent_and_no_other(host: LocalHost) -> None:
    archive, fails = tar_of({"f": "f", "fail.sh": "#!/bin/sh\nexit 3\n"}), {"AfterInstall": [script("fail.sh")]}

    def undo(undone: str, deployment: str) -> str:
        with host.call("undo", deployment, undo=undone) as call:
            return str(call.finish()["undone"])

    host.deploy("d-1", archive, plan_of({"f": "/srv"}, fails))
    sent = [undo("d-1", "d-undo-1"), undo("d-never", "d-undo-2")]
    host.deploy("d-2", archive, plan_of({"f": "/srv"}))
    host.deploy("d-3", archive, plan_of({"f": "/srv"}, fails))
    sent += [undo("d-3", "d-undo-3"), undo("d-3", "d-undo-4")]
    assert sent == ["cleaned", "unknown", "restored", "nothing"]
    assert set(sent) == set(re.findall(r"^- `(\w+)`: ", section("Events"), re.MULTILINE))


@pytest.mark.parametrize("do", ["inventory", "check", "halt", "logs", "plan"])
def test_questions_have_one_answer_of_their_own_kind(host: LocalHost, do: str) -> None:
    archive = tar_of({"a": "a"})
    with host.call(do, "d-1", archive, plan=plan_of(), halt="boundary") as call:
        assert call.finish()["kind"] == do
    assert len(call.events) == 1
