"""When each agent last polled, as the API servers note it in the store: `towline instances` reads it from there.

Each server has one object, replaced every half minute while hosts poll; Temporal is not asked, and no history is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter, ValidationError

from towline.agents.exchange import Exchange, PolledHost
from towline.errors import NotFound, TowlineError
from towline.model.base import Message
from towline.store import Store

PREFIX = "agents/heard/"
NOTE_SECONDS = 30.0
SILENT_SECONDS = 120.0
"""An agent polls once in 45 s, or a minute where it has to connect again; the note is half a minute old at most."""


class Heard(Message):
    """What an API server knows of one agent. Times are seconds since 1970; `skew`: how far its clock is ahead."""

    at: float
    version: str = ""
    skew: float = 0.0
    hostname: str = ""
    address: str = ""
    server: str = ""

    def is_silent(self, now: float) -> bool:
        """Whether it polls no longer."""
        return now - self.at > SILENT_SECONDS


_NOTE = TypeAdapter(dict[str, Heard])


def note_of(hosts: Iterable[PolledHost], server: str, now: float) -> dict[str, Heard]:
    """What is noted of hosts; those whose poll is held now count as heard now."""
    return {
        host.name: Heard(
            at=now if host.is_polling else host.heard,
            version=host.version,
            skew=host.skew,
            hostname=host.hostname,
            address=host.address,
            server=server,
        )
        for host in hosts
        if host.heard
    }


async def keep_note(store: Store, exchange: Exchange, server: str) -> None:
    """Note who polls, until cancelled; and once more then."""
    key = PREFIX + re.sub(r"[^A-Za-z0-9.-]", "_", server) + ".json"
    earlier = await asyncio.to_thread(_read, store, key)

    async def write() -> None:
        note = {**earlier, **note_of(exchange.hosts.values(), server, exchange.now())}
        if note:
            with contextlib.suppress(TowlineError):
                await asyncio.to_thread(store.put, key, _NOTE.dump_json(note))

    try:
        while True:
            await asyncio.sleep(NOTE_SECONDS if exchange.hosts else 1.0)
            await write()
    finally:
        await write()


def read_heard(store: Store) -> Mapping[str, Heard]:
    """Return by name when each agent was heard last, by whichever server; blocks. Raises OurFault."""
    found: dict[str, Heard] = {}
    for key in store.keys(PREFIX):
        for name, heard in _read(store, key).items():
            if name not in found or heard.at > found[name].at:
                found[name] = heard
    return found


def _read(store: Store, key: str) -> dict[str, Heard]:
    try:
        return _NOTE.validate_json(store.get(key))
    except (NotFound, ValidationError):
        return {}
