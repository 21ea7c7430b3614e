"""The network breaks during whole deployments: real workers, real sshd, lines that are late, lose, stall or are cut."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from tests.harness.faults.fleet_site import FleetSite
from tests.harness.faults.site import EVENTS, FaultSite
from tests.harness.fleet.box import Fleet, Host
from tests.harness.temporal import TemporalServer, eventually
from towline.bundles.local import revision_key
from towline.deployments.instance_status import Live, LiveFleet
from towline.model.deployment.exit_status import ExitStatus
from towline.model.deployment.status import Outcome

pytestmark = [pytest.mark.fleet, pytest.mark.slow]


@pytest_asyncio.fixture
async def site(temporal: TemporalServer, tmp_path: Path) -> AsyncIterator[FleetSite]:
    site = FleetSite.at(tmp_path, temporal.address, await temporal.new_namespace())
    try:
        yield site
    finally:
        site.close()
        for worker in site.workers:
            print(f"── {worker.log.name}\n{worker.log.read_text()[-4000:]}")


def restart_sshd(host: Host) -> None:
    """As `systemctl restart ssh` does: another listener, on whatever key lies there now; sessions stay."""
    os.kill(host.pid, signal.SIGHUP)


def change_key(host: Host) -> None:
    """The host shows another key from now on, as one that was set up anew; whoever is connected is thrown out."""
    host.write(
        "/etc/ssh/fleet/host_key", asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode(), 0o600
    )
    restart_sshd(host)
    host.cut_connections()


async def live(site: FleetSite, deployment_id: str) -> dict[str, Live]:
    """The instances as `towline status` shows them now."""
    view = await site.deployments.view(deployment_id)
    assert view
    return await LiveFleet(site.client, deployment_id).read(view.progress)


async def told_unreachable(site: FleetSite, deployment_id: str, *names: str) -> None:
    """Waits until a person who looks is told that these hosts do not answer."""

    async def is_told() -> bool:
        found = await live(site, deployment_id)
        beats = [found[name].heartbeat for name in names if name in found]
        return len(beats) == len(names) and all(beat and "unreachable for" in beat.note for beat in beats)

    await eventually(is_told)


async def test_each_host_with_a_trouble_of_its_own_ends_as_what_it_met(
    site: FleetSite, new_fleet: Callable[..., Fleet]
) -> None:
    fleet = new_fleet(10, relayed=True)
    cable, gone, silent, key, power, sshd, cut, transfer, slow, fails = names = [host.name for host in fleet]
    site.payload_bytes = 1_500_000
    await site.start_worker()
    brief = {"unreachable_after_seconds": 2}
    hosts = await site.declare_fleet(
        fleet,
        every={"connect_timeout_seconds": 1},
        ssh={gone: brief, silent: brief, key: brief, slow: {"connect_timeout_seconds": 10}},
    )
    for host in hosts.values():
        host.hold("AfterInstall")
    hosts[fails].fail("v1")
    fleet[silent].relay.set(stalled=True)
    fleet[transfer].relay.set(stall_after_bytes=700_000)
    fleet[slow].relay.set(delay_ms=100, loss_percent=5, seed=1)
    await site.start("d-1")
    for name in (cable, gone, key, power, sshd, cut):
        await site.begun(hosts[name], "d-1")
    await eventually(lambda: fleet[transfer].relay.counts["stalled"])

    fleet[cable].unplug()
    fleet[gone].relay.set(stalled=True)
    change_key(fleet[key])
    restart_sshd(fleet[sshd])
    fleet[cut].cut_connections()
    fleet[power].power_off()
    await told_unreachable(site, "d-1", cable, transfer, power)
    await asyncio.to_thread(fleet.boot, fleet[power])
    fleet[cable].plug_in()
    fleet[transfer].relay.heal()
    await site.begun(hosts[transfer], "d-1")
    await site.begun(hosts[slow], "d-1")
    for host in hosts.values():
        host.let_go("AfterInstall")
    view = await site.ended("d-1")
    assert {name: site.record("d-1", name).outcome.outcome for name in names} == {
        **dict.fromkeys((cable, sshd, cut, transfer, slow), Outcome.SUCCEEDED),
        **dict.fromkeys((gone, silent, key), Outcome.UNREACHABLE),
        power: Outcome.INTERRUPTED,
        fails: Outcome.FAILED,
    }
    assert [host.relay.counts["lost"] > 0 for host in (fleet[slow], fleet[transfer], fleet[gone])] == [True] * 3
    said = {name: site.record("d-1", name).outcome.message for name in names}
    assert "tried for" in said[gone] and "last seen in AfterInstall, scripts/hook.sh" in said[gone]
    assert "nothing was begun there" in said[silent]
    assert "another host key" in said[key] and "last seen in AfterInstall" in said[key]
    done = await site.towline("status", "d-1")
    assert done.status == 0 and "5 of 10 succeeded" in done.out, "AllAtOnce: one is enough"
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("web-") and "  " in line] == [
        site.record("d-1", name).outcome.outcome.value for name in names
    ]
    assert "ssh-keygen -R" in done.out, "the command that trusts the new key"
    # By the hosts' own files: whoever was left alone went on to its end, and nobody ran anything twice.
    for name in (gone, silent):
        fleet[name].relay.heal()
    await eventually(lambda: hosts[gone].run_of("d-1", "ValidateService"))
    site.check_counts("d-1", [hosts[name] for name in (cable, gone, key, sshd, cut, transfer, slow)])
    site.check_counts("d-1", [hosts[name] for name in (power, fails)], EVENTS[1:3])
    assert hosts[silent].runs == [] and view.progress.touched == 9


async def test_half_the_fleet_cut_off_during_a_rollout_is_not_restored_and_goes_first_when_it_is_back(
    site: FleetSite, new_fleet: Callable[..., Fleet]
) -> None:
    fleet = new_fleet(6, relayed=True)
    await site.start_worker()
    every = {"connect_timeout_seconds": 1, "unreachable_after_seconds": 1.5}
    hosts = await site.declare_fleet(fleet, config="HalfAtATime", rollback=True, every=every)
    one, *half = (hosts[name] for name in ("web-01", "web-02", "web-03", "web-04"))
    rest = [hosts["web-05"], hosts["web-06"]]
    assert (await site.deploy("d-0", version="v0")).info.status == "Succeeded"
    for host in hosts.values():
        host.hold("AfterInstall")
    await site.start("d-1")
    for host in (one, *half[:2]):
        await site.begun(host, "d-1")
    for host in half:
        host.box.relay.set(stalled=True)
    one.let_go("AfterInstall")
    view = await site.ended("d-1")
    assert view.info.status == "Failed"
    assert sorted(view.progress.not_restored) == ["web-02", "web-03"], "what was never begun needs no repair"
    failures = {failure.instance: (failure.outcome, failure.was_touched) for failure in view.progress.failures}
    assert failures == {
        **dict.fromkeys(("web-02", "web-03"), (Outcome.UNREACHABLE, True)),
        "web-04": (Outcome.UNREACHABLE, False),
    }
    done = await site.towline("status", "d-1", "--watch")
    assert done.status == ExitStatus.NEEDS_A_PERSON, done.text
    assert "Rollback incomplete on" in done.text and "the same on web-0" in done.text
    assert [host.installed for host in (one, *rest)] == ["v0"] * 3
    assert all(host.run_of("d-1", "BeforeInstall") is None for host in rest), "past the floor nothing more begins"
    for host in half:
        host.box.relay.heal()
    for host in hosts.values():
        host.let_go("AfterInstall")
    done = await site.towline("release", "shop/web")
    assert done.status == 0 and all(name in done.text for name in ("web-02", "web-03")), done.text
    view = await site.deploy("d-2", version="v2")
    assert view.info.status == "Succeeded"
    assert [host.installed for host in hosts.values()] == ["v2"] * 6
    began = {host.name: host.journal("d-2")[0]["time"] for host in hosts.values()}
    assert max(began["web-02"], began["web-03"]) < min(began["web-05"], began["web-06"]), (
        "hosts that were not restored come first"
    )


async def test_an_archive_replaced_during_a_rollout_holds_it_until_the_right_one_is_back(
    temporal: TemporalServer, tmp_path: Path
) -> None:
    site = FaultSite.at(tmp_path, temporal.address, await temporal.new_namespace())
    try:
        await site.start_worker()
        first, second = await site.declare_hosts(hosts=2)
        first.hold("AfterInstall")
        await site.start("d-1")
        await site.begun(first, "d-1")
        location = site.revision("v1").store_location
        assert location
        key = revision_key(location.digest, location.bundle_type)
        right = site.store.get(key)
        site.store.put(key, right[:-1] + b"x")
        [kept] = (tmp_path / "data").rglob(f"{location.digest}.*")
        kept.unlink()  # as on a worker that has not had it yet
        first.let_go("AfterInstall")

        async def is_blocked() -> bool:
            view = await site.deployments.view("d-1")
            return bool(view and view.progress.blocked)

        await eventually(is_blocked)
        shown = (await site.towline("status", "d-1")).out
        assert "its SHA-256 is" in shown and "replaced" in shown, shown
        assert second.runs == [] and second.journal("d-1") == [] and not list(second.root.rglob("d-1"))
        site.store.put(key, right)
        assert (await site.ended("d-1")).info.status == "Succeeded"
        site.check_counts("d-1", [first, second])
    finally:
        site.close()
