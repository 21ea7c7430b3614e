"""What is called how now, also while no worker answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from towline.deployments import names_now
from towline.deployments.names_now import NamesNow
from towline.errors import TemporalUnavailable
from towline.model.catalogue.current_names import AS_THEN, CurrentNames
from towline.model.catalogue.records import Record

SHOP = CurrentNames({"a-1": "shop"}, {"g-1": ("shop", "web")})


class Names:
    """A catalogue that answers, refuses, or is silent."""

    def __init__(self) -> None:
        self.answer: CurrentNames | None = SHOP
        self.is_silent = False

    async def current_names(self) -> CurrentNames:
        if self.is_silent:
            await asyncio.Event().wait()
        if self.answer is None:
            raise TemporalUnavailable("no worker answers.")
        return self.answer


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_now, "SECONDS", 0.0)
    monkeypatch.setattr(names_now, "PATIENCE_SECONDS", 0.02)


@pytest.mark.parametrize("member", [{"answer": None}, {"is_silent": True}], ids=["refused", "silent"])
async def test_names_that_cannot_be_read_are_those_known_last(member: dict[str, Any]) -> None:
    catalogue = Names()
    now = NamesNow(catalogue)  # type: ignore[arg-type]
    assert await now.get() == SHOP
    vars(catalogue).update(member)
    assert await now.get() == SHOP
    assert await NamesNow(catalogue).get() == AS_THEN  # type: ignore[arg-type]
    assert AS_THEN.of("shop", "web", "a-1", "g-1") == ("shop", "web")


def test_names_by_id_of_records_with_and_without_their_own() -> None:
    records = {
        "application/store": Record("application/store", 1, {"applicationName": "store", "applicationId": "a-1"}),
        "application/other": Record("application/other", 2, {"applicationName": "other"}),
        "group/store/web": Record("group/store/web", 3, {"deploymentGroupId": "g-1"}),
    }
    now = CurrentNames.of_records(records)
    assert now.of("shop", "production", "a-1", "g-1") == ("store", "web")
    assert now.of("shop", "gone", "a-1", "g-2") == ("store", "gone")
    assert now.of("other", "gone", now.application_id("other"), "") == ("other", "gone")
    assert now.application_id("none") == ""
