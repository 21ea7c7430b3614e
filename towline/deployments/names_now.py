"""What applications and groups are called, for reads that must not wait for a worker: at most a second old."""

from __future__ import annotations

import asyncio

from towline.catalogue.repository import Catalogue
from towline.errors import TowlineError
from towline.model.catalogue.current_names import CurrentNames
from towline.singleflight import KeptReads

SECONDS = 1.0
RENEW_SECONDS = 0.3
PATIENCE_SECONDS = 1.0


class NamesNow:
    """Shared by all reads in this process."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._last = CurrentNames()
        self._reads: KeptReads[CurrentNames] = KeptReads(1, SECONDS, RENEW_SECONDS)

    async def get(self) -> CurrentNames:
        """The names; where no worker answers soon, those known last, or none."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._last = await self._reads.read("", self._catalogue.current_names)
        except (TowlineError, TimeoutError):
            pass
        return self._last
