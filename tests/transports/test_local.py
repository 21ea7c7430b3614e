"""The local transport on a real child process, with a stand-in for the runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.standin import SOURCE
from towline.errors import HostRefused, Unreachable
from towline.model.fleet.instance import LocalAccess, Target
from towline.model.host.events import HostEvent, LogText
from towline.transports import Transport, TransportPool, ask, open_transport


@pytest.fixture
def transport(tmp_path: Path) -> Transport:
    runner = tmp_path / "runner.py"
    runner.write_bytes(SOURCE)
    target = Target(name="demo", access=LocalAccess(root=str(tmp_path / "root")))
    return open_transport(target, TransportPool(runner_file=runner))


async def follow(transport: Transport, script: list[str]) -> list[HostEvent]:
    async with transport:
        await transport.start_or_attach({"do": "deploy", "x_script": script})
        return [event async for event in transport.follow()]


def told(events: list[HostEvent]) -> Any:
    """What the stand-in tells of itself (tests/harness/standin.py)."""
    return json.loads(next(event.text for event in events if isinstance(event, LogText)))


async def test_events_come_and_other_output_is_passed_over(transport: Transport) -> None:
    events = await follow(transport, ["greet", "started"])
    assert [event.kind for event in events] == ["started", "log", "finished"]


async def test_workers_environment_stays_with_the_worker(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    environment = told(await follow(transport, ["started"]))["environment"]
    assert "PATH" in environment
    assert "AWS_SECRET_ACCESS_KEY" not in environment


async def test_archive_goes_down_byte_for_byte(transport: Transport, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(range(256)) * 5000)
    events: list[HostEvent] = []
    async with transport:
        await transport.start_or_attach({"do": "deploy", "x_script": ["archive"]})
        async for event in transport.follow():
            events.append(event)
            if event.kind == "need":
                await transport.send({"reply": "archive", "size": body.stat().st_size}, body)
    assert told(events) == sum(range(256)) * 5000
    assert [event.kind for event in events] == ["need", "transfer", "log", "finished"]


async def test_halt_line_reaches_the_runner(transport: Transport) -> None:
    async with transport:
        await transport.start_or_attach({"do": "deploy", "x_script": ["listen"]})
        await transport.send({"halt": "boundary"})
        events = [event async for event in transport.follow()]
    assert told(events) == {"halt": "boundary"}


async def test_end_before_the_last_event_is_unreachable_so_that_another_attempt_attaches(transport: Transport) -> None:
    with pytest.raises(Unreachable, match="out of memory"):
        await follow(transport, ["started", "die"])


async def test_runner_that_never_speaks_is_a_refusal_that_says_why(transport: Transport) -> None:
    with pytest.raises(HostRefused, match="exit status 3; it said: out of memory") as refused:
        await follow(transport, ["die"])
    assert refused.value.code == "RunnerNotStarted"


async def test_root_that_cannot_be_made_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = Target(name="demo", access=LocalAccess(root=str(tmp_path / "file" / "root")))
    with pytest.raises(HostRefused, match="cannot be started"):
        await ask(open_transport(target, TransportPool()), {"do": "check"})


async def test_closing_early_leaves_no_child_behind(transport: Transport) -> None:
    await transport.start_or_attach({"do": "deploy", "x_script": ["started", "listen"]})
    events = transport.follow()
    assert (await anext(events)).kind == "started"
    await events.aclose()
    await transport.close()
    assert transport._process._process.returncode is not None  # type: ignore[attr-defined]
