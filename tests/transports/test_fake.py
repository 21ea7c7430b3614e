"""Played hosts speak like real ones: journals outlive connections, halts act at boundaries."""

from __future__ import annotations

import pytest

from tests.model.test_host_order import WEB, deployment
from towline.errors import Unreachable
from towline.model.deployment.status import IN_PLACE_EVENTS
from towline.model.fleet.instance import FakeSettings, Target
from towline.model.host.order import halt_order, question_order, work_order
from towline.model.messages import InstanceOrder
from towline.transports import Event, FakeHosts, FakeTransport, TransportPool, ask, open_transport

ORDER = work_order(deployment(), WEB, plan=None)


async def events_of(transport: FakeTransport, order: Event = ORDER) -> list[Event]:
    async with transport:
        await transport.start_or_attach(order)
        return [event async for event in transport.follow()]


async def test_good_run_goes_through_every_event() -> None:
    events = await events_of(FakeTransport("web-01", FakeHosts()))
    assert [event["event"] for event in events if event["kind"] == "event_ended"] == list(IN_PLACE_EVENTS)
    assert events[-1]["outcome"] == "succeeded"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_failing_host_fails_in_the_named_event() -> None:
    events = await events_of(FakeTransport("web-01", FakeHosts(fail={"web-01": "AfterInstall"})))
    assert (events[-1]["outcome"], events[-1]["failed_event"]) == ("failed", "AfterInstall")
    assert "ApplicationStart" not in [event.get("event") for event in events]


async def test_second_connection_attaches_and_starts_nothing() -> None:
    hosts = FakeHosts()
    first = await events_of(FakeTransport("web-01", hosts))
    again = await events_of(FakeTransport("web-01", hosts), {**ORDER, "after": 4})
    assert again == [{"kind": "attached"}, *first[4:]]
    assert hosts.starts == [("d-1", "web-01")]


async def test_unreachable_host_raises_and_starts_nothing() -> None:
    hosts = FakeHosts(unreachable={"web-01"})
    with pytest.raises(Unreachable):
        await events_of(FakeTransport("web-01", hosts))
    with pytest.raises(Unreachable):
        await events_of(FakeTransport("web-02", hosts, FakeSettings(unreachable=True)))
    assert hosts.starts == []


async def test_halt_ends_a_run_at_the_next_boundary() -> None:
    now = [100.0]
    hosts = FakeHosts(clock=lambda: now[0])
    transport = FakeTransport("web-01", hosts, FakeSettings(seconds=70))
    await transport.start_or_attach(ORDER)
    now[0] += 15  # in the second of seven events
    halt = halt_order(
        InstanceOrder(deployment_id="d-1", run_id="r-1", instance="web-01", page="", deadline_seconds=1), WEB, "now"
    )
    assert (await ask(FakeTransport("web-01", hosts), halt))["kind"] == "halt"
    now[0] += 100
    events = [event async for event in transport.follow()]
    assert [event["event"] for event in events if event["kind"] == "event_ended"] == list(IN_PLACE_EVENTS[:2])
    assert events[-1]["outcome"] == "stopped"


async def test_inventory_tells_what_went_well_last() -> None:
    hosts = FakeHosts(fail={"web-02": "Install"})
    pool = TransportPool(hosts=hosts)
    for name in ("web-01", "web-02"):
        await events_of(FakeTransport(name, hosts), {**ORDER, "instance": name})
    answers = {}
    for name in ("web-01", "web-02"):
        target = Target(name=name, transport="fake")
        answers[name] = await ask(open_transport(target, pool), question_order("inventory", target))
    assert answers["web-01"]["groups"]["g-1"]["succeeded"]["deployment"] == "d-1"
    assert answers["web-02"]["groups"] == {}
