"""A few rounds of the fault harness, always the same ones; `python -m tests.harness.faults` is the long soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.faults.__main__ import standing
from tests.harness.faults.injections import faults_for
from tests.harness.faults.instants import INSTANTS
from tests.harness.faults.rounds import Aim
from tests.harness.faults.table import command

HOSTS = 4
AIMS = [
    Aim(1, (("temporal-kill", "hook"), ("pause-resume", "start"))),
    Aim(2, (("worker-kill", "rolling-back"), ("reader-kill", "hook"))),
    Aim(3, (("runner-kill", "hook"), ("activity-reset", "download"))),
    Aim(4, (("terminate", "hook-ended"),)),
    Aim(5, (("stop-now", "hook"), ("activity-reset", "start"))),
    Aim(6, (("workers-kill", "between"), ("worker-term", "pausing"))),
    Aim(7, (("cancel-shard", "stopping"),)),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_rollouts_end_right_whatever_is_done_to_them(tmp_path: Path) -> None:
    async with standing(tmp_path, HOSTS) as harness:
        for aim in AIMS:
            result = await harness.run(aim)
            wrong = "\n".join(result.wrong)
            assert not result.wrong, f"{wrong}\nagain: {command(aim, HOSTS)}"


def test_a_seed_chooses_the_same_faults_each_time() -> None:
    assert Aim(7).resolved(4) == Aim(7).resolved(4)
    chosen = [pair for seed in range(500) for pair in Aim(seed).resolved(4, box=True).faults]
    assert {fault for fault, _ in chosen} == set(faults_for(True))
    assert {at for _, at in chosen} == set(INSTANTS)


def test_a_round_has_as_many_faults_as_dice_say_and_the_given_ones() -> None:
    rounds = [Aim(seed).resolved(4).faults for seed in range(100)]
    assert {len(faults) for faults in rounds} == {1, 2, 3, 4}
    assert all(len(dict(faults)) == len({at for _, at in faults}) == len(faults) for faults in rounds), "distinct"
    [(stop, at), (other, hook)] = Aim(7, (("stop", ""), ("", "hook"))).resolved().faults
    assert (stop, hook) == ("stop", "hook") and at and other
