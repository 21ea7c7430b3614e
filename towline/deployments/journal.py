"""The journal of deployments as a process reads it: folded in memory, brought up to date by each read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from towline.model.deployment.book import DeploymentBook
from towline.model.deployment.listed import ListedDeployment
from towline.singleflight import SharedReads
from towline.store.journal import Entry, Journal

SECONDS_BETWEEN_READS = 0.05

log = logging.getLogger("towline.deployments")


class DeploymentJournal:
    """Reads that come together share one."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._book = journal, DeploymentBook()
        self._reads: SharedReads[None] = SharedReads(SECONDS_BETWEEN_READS)

    async def read(self) -> DeploymentBook:
        """The recorded deployments, with every one that had ended before this call; not to be kept. Raises OurFault."""
        await self._reads.read("", self._read_new)
        return self._book

    async def _read_new(self) -> None:
        for line in await asyncio.to_thread(lambda: list(_lines(self._journal.read_new()))):
            self._book.add(line)


def _lines(entries: list[Entry]) -> Iterator[ListedDeployment]:
    for entry in entries:
        try:
            yield ListedDeployment.of_entry(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("journal of deployments: an entry that cannot be read is ignored: %.200s", entry)
