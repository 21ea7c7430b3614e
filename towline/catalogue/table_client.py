"""One table of the catalogue as a process sees it: a copy that each read brings up to date, and writes in groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from towline.catalogue.table_workflow import TableWorkflow
from towline.errors import InvalidInput
from towline.grouping import Grouping
from towline.model.catalogue.packing import PACKED_BYTES, PLAIN_BYTES, size_of
from towline.model.catalogue.records import Batch, BatchAnswer, Delta, Known, Record, WriteRequest, kind_of
from towline.singleflight import SharedReads

SECONDS_BETWEEN_READS = 0.05
"""A query costs Temporal and a worker some milliseconds each; reads that come together share one."""


class TableClient:
    """Reads and writes of one table. Raises `TemporalUnavailable` where Temporal or every worker is away."""

    def __init__(self, workflow: TableWorkflow) -> None:
        self._workflow = workflow
        self._known = Known()
        self._records: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        self._reads: SharedReads[None] = SharedReads(SECONDS_BETWEEN_READS)
        self._writes: Grouping[Batch, BatchAnswer] = Grouping(self._send, most=PLAIN_BYTES, size=size_of)

    async def records(self) -> Mapping[str, Mapping[str, Record]]:
        """All records by kind and key, with every write that was acknowledged before this call. Not to be kept."""
        await self._reads.read("", self._refresh)
        return self._records

    @property
    def version(self) -> int:
        """The table's version in the copy: what an `Unchanged` of the records above needs."""
        return self._known.version

    async def write(self, batch: Batch) -> BatchAnswer:
        """Makes the batch, or answers why not."""
        return await self._writes.call(batch)

    async def touch(self) -> None:
        """Has a worker load the table, so that the reads that follow are fast."""
        await self._workflow.touch()

    async def _refresh(self) -> None:
        delta = await self._workflow.since(self._known)
        if delta.known != self._known or delta.is_whole:
            self._take(delta)

    def _take(self, delta: Delta) -> None:
        if delta.is_whole:
            self._records.clear()
        for key in delta.removed:
            self._records[kind_of(key)].pop(key, None)
        for record in delta.all:
            self._records[kind_of(record.key)][record.key] = record
        self._known = delta.known

    async def _send(self, batches: Sequence[Batch]) -> Sequence[BatchAnswer]:
        request = WriteRequest.of(batches)
        if len(request.packed) > PACKED_BYTES:
            raise InvalidInput("these changes are too large to be made together.", "Make them in parts.")
        return (await self._workflow.write(request)).answers
