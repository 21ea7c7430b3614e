"""The guards of docs/promises.md are where guards.py says, their tests exist, and every promise has one."""

from __future__ import annotations

import pytest

from tests.harness import ROOT
from tests.harness.faults.guards import GUARDS, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_guard_and_its_test_are_there(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text().count(guard.lines) == 1
    file, _, name = guard.test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
    assert guard.name in (ROOT / "docs/promises.md").read_text()


def test_every_promise_has_a_guard() -> None:
    assert {guard.promise for guard in GUARDS} == set(range(1, 9))
