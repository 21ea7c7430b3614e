"""The store as clients reach it: TOWLINE_STORE, else the address that workers write into the catalogue."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from towline import errors
from towline.catalogue.repository import Catalogue
from towline.store import Store, open_store

if TYPE_CHECKING:
    from towline.deployments.journal import DeploymentJournal
    from towline.store.deployment_records import DeploymentRecords

LOOKS = 6
LOOK_SECONDS = 0.5


class StoreAccess:
    """Opens the store at its first use. `address` empty: what workers wrote into the catalogue."""

    def __init__(self, catalogue: Catalogue, address: str = "") -> None:
        self._catalogue = catalogue
        self._address = address
        self._store: Store | None = None
        self._journal: DeploymentJournal | None = None
        self._looks_left = LOOKS

    async def store(self) -> Store:
        """Return the store. Raises `NotFound` where none is known or it cannot be reached from here.

        Raises also `TemporalUnavailable`.
        """
        if self._store is None:
            address = self._address or await self._address_of_workers()
            self._store = await asyncio.to_thread(open_for_client, address)
        return self._store

    async def records(self) -> DeploymentRecords:
        """Return what the store remembers; raises as `store`."""
        from towline.store.deployment_records import DeploymentRecords

        return DeploymentRecords(await self.store())

    async def records_if_any(self) -> DeploymentRecords | None:
        """Return the same, or None where the store is out of reach: then less is known."""
        try:
            return await self.records()
        except (errors.NotFound, errors.TemporalUnavailable, errors.OurFault):
            return None

    async def journal_if_any(self) -> DeploymentJournal | None:
        """Return the journal of deployments, or None where the store is out of reach."""
        if self._journal is None and (records := await self.records_if_any()):
            from towline.deployments.journal import DeploymentJournal

            self._journal = DeploymentJournal(records.journal)
        return self._journal

    async def _address_of_workers(self) -> str:
        address = await self._catalogue.store_address()
        while not address and self._looks_left:
            self._looks_left -= 1
            await asyncio.sleep(LOOK_SECONDS)  # a first worker writes it a moment after it answers
            address = await self._catalogue.store_address()
        if not address:
            raise errors.NotFound(
                "no worker has registered its store.", "Start one (towline worker), or set TOWLINE_STORE."
            )
        return address


def open_for_client(address: str) -> Store:
    """The store at an address that a worker wrote into the catalogue, as seen from here.

    Raises `NotFound` for a directory that is not on this machine.
    """
    store = open_store(address)
    local = address.removeprefix("file://")
    if not address.startswith("s3://") and not Path(local).expanduser().is_dir():
        raise errors.NotFound(
            f"the store {address} is a directory on the worker's machine, not on this one.",
            "Run this there, or give worker and clients a store that both reach: TOWLINE_STORE=s3://BUCKET/PREFIX",
        )
    return store
