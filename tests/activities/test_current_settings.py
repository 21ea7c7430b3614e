"""Each connect has the settings that are declared now, and none waits for a catalogue that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from activities.current_settings import CurrentSettings
from towline.errors import TemporalUnavailable
from towline.model.catalogue.records import Record
from towline.model.fleet.instance import SshAccess, Target


class StubCatalogue:
    """Has every instance, and may be out of reach."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away

    async def read(self, keys: Iterable[str]) -> dict[str, Record]:
        if self.is_away:
            raise TemporalUnavailable("no worker answers")
        return {key: Record(key=key, version=1, value={"instanceName": key[9:]}) for key in keys}

    async def read_all(self, *_: Any) -> dict[str, Record]:
        return {"ssh/default": Record(key="ssh/default", version=1, value={"identityFile": "/new"})}


def target(name: str) -> Target:
    return Target(name=name, access=SshAccess(host=name), source=f"instance/{name}")


async def test_each_connect_has_the_settings_of_its_own_instance() -> None:
    catalogue = StubCatalogue()
    current = CurrentSettings(catalogue)  # type: ignore[arg-type]
    found = await asyncio.gather(*(current.of(target(f"web-{n}")) for n in range(9)))
    assert [one.host for one in found] == [f"web-{n}" for n in range(9)]
    assert {one.identity_file for one in found} == {"/new"}


async def test_without_the_catalogue_the_frozen_settings_are_used() -> None:
    current = CurrentSettings(StubCatalogue(is_away=True))  # type: ignore[arg-type]
    assert await current.of(target("web-1")) == SshAccess(host="web-1")
