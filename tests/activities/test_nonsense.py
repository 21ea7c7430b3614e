"""A host that answers nonsense is that host's failure, at once, in bounded time and memory; the event loop goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from activities.hosts import HostActivities
from activities.instances import InstanceActivities
from tests.harness.activity_bench import Bench
from tests.harness.hostile import event_lines, odd_lines
from tests.harness.liar import Liar
from tests.harness.loop import loop_goes_on
from tests.harness.site import running_site
from tests.harness.temporal import TemporalServer
from towline.model.deployment.status import Outcome
from towline.model.host.order import AskHosts
from towline.model.messages.instance import InstanceOutcome
from towline.transports import TransportPool

GOOD = b'{"kind":"started","seq":1,"offset":0}\n{"kind":"event_started","seq":2,"offset":1,"event":"Install"}\n'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.attempt()
    bench.freeze(bench.local())
    return bench


async def deployed(bench: Bench, liar: Liar) -> InstanceOutcome:
    """The outcome of an instance whose host lies."""
    pool = TransportPool(runner_file=liar.runner_file)
    bench.activities = InstanceActivities(bench.store, bench.archives, pool, is_open=bench.is_open)
    with loop_goes_on():
        outcome: InstanceOutcome = await bench.deploy("demo-01")
    return outcome


def many(count: int, **fields: Any) -> bytes:
    return b"".join(json.dumps({"seq": n, "offset": 0, **fields}).encode() + b"\n" for n in range(1, count + 1))


FLOODS = {
    "a line without end": b"a" * 20_000_000,
    "an event without end": b'{"kind":"log","at":0,"end":1,"text":"' + b"a" * 20_000_000,
    "a greeting without end": b"welcome\n" * 200_000,
    "empty lines without end": b"\n" * 1_200_000,
    "a need without end": b'{"kind":"need","what":"plan"}\n' * 1000,
    "the runner for ever": b'{"kind":"need","what":"runner"}\n',
    **event_lines(),
}


@pytest.mark.parametrize(
    ("what", "before"),
    [
        *((what, b"") for what in FLOODS),
        *((what, GOOD) for what in ("nested deep", "log without fields", "a greeting without end")),
    ],
)
async def test_nonsense_fails_the_instance_at_once(bench: Bench, tmp_path: Path, what: str, before: bytes) -> None:
    liar = Liar(tmp_path, before + FLOODS[what] + b"\n")
    outcome = await deployed(bench, liar)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.fault and outcome.fault.code == "NotUnderstood", outcome
    assert liar.connections == 1
    assert len(outcome.model_dump_json()) < 5000
    assert bench.report("demo-01").outcome == outcome


@pytest.mark.parametrize("what", odd_lines())
async def test_what_is_only_odd_is_taken_and_bounded(bench: Bench, tmp_path: Path, what: str) -> None:
    outcome = await deployed(bench, Liar(tmp_path, odd_lines()[what] + b"\n"))
    assert outcome.outcome is Outcome.FAILED
    assert outcome.fault is None or outcome.fault.code.startswith("X")
    assert len(bench.report("demo-01").model_dump_json().encode()) < 20_000


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("warning", {"message": "m" * 100}),
        ("event_started", {"event": "Install"}),
        ("script_started", {"event": "Install", "script": "a" * 1000}),
        ("glitter", {}),
    ],
)
async def test_events_without_end_take_bounded_space(
    bench: Bench, tmp_path: Path, kind: str, fields: dict[str, Any]
) -> None:
    end = json.dumps({"kind": "finished", "seq": 10**6, "offset": 1, "outcome": "succeeded"}).encode()
    outcome = await deployed(bench, Liar(tmp_path, many(10_000, kind=kind, **fields) + end + b"\n"))
    assert outcome.outcome is Outcome.SUCCEEDED
    assert len(bench.report("demo-01").model_dump_json()) < 100_000


async def test_a_host_that_is_silent_beyond_its_deadline_fails(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.runner_session.LATE_SECONDS", 0.5)
    liar = Liar(tmp_path, GOOD)
    pool = TransportPool(runner_file=liar.runner_file)
    bench.activities = InstanceActivities(bench.store, bench.archives, pool, is_open=bench.is_open)
    outcome = await bench.deploy("demo-01", deadline_seconds=1)
    assert outcome.outcome is Outcome.FAILED and outcome.was_touched
    assert outcome.fault and outcome.fault.code == "NoEnd"


ANSWERS = {
    "nested values": b'{"kind":"inventory","groups":{},"x":[' + b"[]," * 5_000_000 + b"0]}",
    "many groups": json.dumps({"kind": "inventory", "groups": {f"g{n}": {} for n in range(150_000)}}).encode(),
    "groups of wrong types": b'{"kind":"inventory","groups":[]}',
    "a line without end": b"a" * 20_000_000,
    "nested deep": event_lines()["nested deep"],
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_nonsense_in_place_of_an_answer_is_the_hosts_fault(bench: Bench, tmp_path: Path, what: str) -> None:
    liar = Liar(tmp_path, ANSWERS[what] + b"\n")
    activities = HostActivities(bench.store, TransportPool(runner_file=liar.runner_file), host="here")
    with loop_goes_on():
        told = await bench.environment.run(
            activities.ask_hosts, AskHosts(do="inventory", targets=(bench.local(),), timeout_seconds=30)
        )
    fault = told.answers[0].fault
    assert fault and fault.code == "NotUnderstood", told


# ── a whole deployment ───────────────────────────────────────────────────────────────────────────────────────────


# A hook that writes into the journal, which the runner passes on as it is.
LIE = """case "$TOWLINE_ROOT" in *web-1)
  cd "$TOWLINE_ROOT/var/lib/towline/journals"
  echo '{"kind":"event_ended","seq":999,"offset":"nonsense"}' >> "$DEPLOYMENT_ID.jsonl"
esac"""


@pytest.mark.slow
async def test_a_deployment_ends_and_its_other_instances_go_on(temporal: TemporalServer, tmp_path: Path) -> None:
    async with running_site(temporal, tmp_path) as site:
        await site.declare("shop", "web", count=3)
        done = await site.towline("deploy", "shop", "web", "--revision", str(site.bundle("one", LIE)), "--json")
        assert (site.root("web-3") / "srv/shop/index.html").read_text() == "one\n"
        instances = done.json["progress"]["instances"]
    assert {name: one["outcome"] for name, one in instances.items()} == {
        "web-1": "failed",
        "web-2": "succeeded",
        "web-3": "succeeded",
    }
    assert "what towline does not understand" in done.out, done
