"""What applications and groups are called, for reads that must not wait for a worker: at most a second old."""

from __future__ import annotations

import asyncio
import contextlib

from towline.catalogue.repository import Catalogue
from towline.errors import TowlineError
from towline.model.catalogue.current_names import AS_THEN, CurrentNames
from towline.singleflight import KeptReads

SECONDS = 1.0
RENEW_SECONDS = 0.3
PATIENCE_SECONDS = 1.0
"""How long a first read waits for a worker; where names are known already, half of that."""


class NamesNow:
    """Shared by all reads in this process."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._last: CurrentNames | None = None
        self._reads: KeptReads[CurrentNames] = KeptReads(1, SECONDS, RENEW_SECONDS)

    async def get(self) -> CurrentNames:
        """The names; where no worker answers soon, those known last, or none."""
        with contextlib.suppress(TowlineError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS if self._last is None else PATIENCE_SECONDS / 2):
                self._last = await self._reads.read("", self._catalogue.current_names)
        return self._last or AS_THEN
