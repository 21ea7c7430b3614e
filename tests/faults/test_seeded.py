"""A few rounds of the fault harness, always the same ones; the long soak runs by hand (`python -m tests.faults`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import command
from tests.faults.harness import Aim, Harness
from tests.faults.injections import FAULTS, INSTANTS
from tests.faults.site import Site
from tests.faults.temporal import Temporal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HOSTS = 4
AIMS = [
    Aim(1, "temporal-kill", "hook"),
    Aim(2, "worker-kill", "compensating"),
    Aim(3, "runner-kill", "hook"),
    Aim(4, "terminate", "hook"),
    Aim(5, "stop-now", "hook"),
    Aim(6, "cancel-shard", "hook-ended"),
    Aim(7, "activity-reset", "between"),
    Aim(8, "worker-term", "pausing"),
]


async def test_rollouts_end_right_whatever_is_done_to_them(tmp_path: Path) -> None:
    async with Temporal(tmp_path) as temporal:
        site = Site(tmp_path, temporal.address, await temporal.connect())
        try:
            harness = await Harness.on(site, temporal, HOSTS)
            for aim in AIMS:
                result = await harness.run(aim)
                wrong = "\n".join(result.wrong)
                assert not result.wrong, f"{wrong}\nagain: {command(aim, HOSTS)}"
        finally:
            site.close()


def test_a_seed_chooses_the_same_fault_each_time() -> None:
    assert Aim(7).resolved() == Aim(7).resolved()
    chosen = [Aim(seed).resolved() for seed in range(500)]
    assert {aim.fault for aim in chosen} == set(FAULTS)
    assert {aim.instant for aim in chosen} == set(INSTANTS)
    assert Aim(7, fault="stop").resolved().fault == "stop"
