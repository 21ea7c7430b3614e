"""The revisions of applications: what the journal `revisions` in the store has, kept up to date in memory."""

from __future__ import annotations

import asyncio
import logging
import time

from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.revisions import Registration, Registrations, Revision, Uses, with_uses
from towline.store import Store
from towline.store.journal import Journal

log = logging.getLogger("towline.revisions")


class Revisions:
    """Registered revisions, shared by all processes that use the store."""

    def __init__(self, store: Store) -> None:
        self._journal, self._book = Journal(store, "revisions"), Registrations()
        self._lock = asyncio.Lock()

    async def register(self, application: str, location: RevisionLocation, description: str) -> None:
        """Registers a revision; one that is known gets the new description. Raises OurFault."""
        entry = Registration(application, location, description, time.time()).as_entry()
        await asyncio.to_thread(self._journal.append, entry)

    async def of(self, application: str, uses: Uses) -> list[Revision]:
        """An application's revisions, those registered by a deployment (`uses`) too. Raises OurFault."""
        async with self._lock:
            for entry in await asyncio.to_thread(self._journal.read_new):
                try:
                    self._book.add(Registration.of_entry(entry))
                except (ValueError, KeyError, TypeError):
                    log.warning("journal of revisions: an entry that cannot be read is ignored: %.200s", entry)
        return with_uses(self._book.by_application.get(application, {}), uses)
