"""Played hosts speak like real ones: journals outlive connections, halts act at boundaries."""

from __future__ import annotations

import pytest

from tests.model.host.test_order import WEB, deployment
from towline.errors import Unreachable
from towline.model.deployment.lifecycle import events_for
from towline.model.fleet.instance import FakeAccess, FakeSettings, Target
from towline.model.host.events import (
    Attached,
    EventEnded,
    Finished,
    HostEvent,
    HostRevision,
    Inventory,
    Journaled,
    OnHost,
)
from towline.model.host.order import halt_order, question_order, work_order
from towline.model.messages.instance import InstanceOrder
from towline.transports import FakeHosts, FakeTransport, Order, TransportPool, ask, open_transport

ORDER = work_order(deployment(), WEB, plan=None)
REVISION = deployment().revision
assert REVISION
V1 = HostRevision(deployment="d-1", label=REVISION.label, sha256=REVISION.sha256)


async def events_of(transport: FakeTransport, order: Order = ORDER) -> list[HostEvent]:
    async with transport:
        await transport.start_or_attach(order)
        return [event async for event in transport.follow()]


def finish(events: list[HostEvent]) -> Finished:
    """The run's end."""
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_good_run_goes_through_every_event() -> None:
    events = await events_of(FakeTransport("web-01", FakeHosts()))
    assert [event.event for event in events if isinstance(event, EventEnded)] == list(events_for())
    assert finish(events).outcome == "succeeded"
    assert [event.seq for event in events if isinstance(event, Journaled)] == list(range(1, len(events) + 1))


async def test_failing_host_fails_in_the_named_event() -> None:
    events = await events_of(FakeTransport("web-01", FakeHosts(fail={"web-01": "AfterInstall"})))
    assert (finish(events).outcome, finish(events).failed_event) == ("failed", "AfterInstall")
    assert "ApplicationStart" not in [event.event for event in events if isinstance(event, EventEnded)]


async def test_second_connection_attaches_and_starts_nothing() -> None:
    hosts = FakeHosts()
    first = await events_of(FakeTransport("web-01", hosts))
    again = await events_of(FakeTransport("web-01", hosts), {**ORDER, "after": 4})
    assert again == [Attached(), *first[4:]]
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
    assert (await ask(FakeTransport("web-01", hosts), halt)).kind == "halt"
    now[0] += 100
    events = [event async for event in transport.follow()]
    assert [event.event for event in events if isinstance(event, EventEnded)] == list(events_for()[:2])
    assert finish(events).outcome == "stopped"


async def test_inventory_tells_what_went_well_last() -> None:
    hosts = FakeHosts(fail={"web-02": "Install"})
    pool = TransportPool(hosts=hosts)
    for name in ("web-01", "web-02"):
        await events_of(FakeTransport(name, hosts), {**ORDER, "instance": name})
    answers = {}
    for name in ("web-01", "web-02"):
        target = Target(name=name, access=FakeAccess())
        answers[name] = await ask(open_transport(target, pool), question_order("inventory", target))
    assert answers["web-01"] == Inventory(groups={"g-1": OnHost(installed=V1, succeeded=V1)})
    assert answers["web-02"] == Inventory(groups={})
