"""The table that a `Catalogue` workflow keeps in memory: what a batch does to it, and what changed since a version."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from towline.model.catalogue.limits import SIZE, most, scopes
from towline.model.catalogue.packing import PACKED_BYTES, PLAIN_BYTES, pack, size_of, unpack
from towline.model.catalogue.records import (
    Batch,
    BatchAnswer,
    CatalogueState,
    Change,
    Delta,
    Known,
    Record,
    Refusal,
)

REMOVALS = 1_000
"""How many removals are remembered, for readers that follow the table; one that is further behind reads all of it."""

OVERHEAD = 120
"""More bytes than a record's JSON has beside what its batch and change have."""

SHOWN = 20
"""In how many refusals the record as it is now is shown: an answer must not grow with the batch."""


class Table:
    """The records of one table. `chain` names the workflow runs in which its versions count."""

    def __init__(self, state: CatalogueState | None = None, chain: str = "") -> None:
        state = state or CatalogueState()
        self._chain = chain
        records = map(Record._make, unpack(state.packed) if state.packed else ())
        self._records = {record.key: record for record in records}  # the oldest version first
        self._counts = _counted(self._records)
        self._version = state.version
        self._removed = {key: version for version, key in state.removed}  # the oldest first
        self._forgotten = state.forgotten
        self._packed_bytes = len(state.packed)  # when it was packed last …
        self._written_bytes = 0  # … and what was written since then

    def __len__(self) -> int:
        return len(self._records)

    # ── write ──

    def apply(self, batch: Batch, at: str = "") -> BatchAnswer:
        """Makes all changes of a batch or, where a condition does not hold or a limit is exceeded, none.

        A change to what already is the case is left out, whatever its version, so that a batch may be sent again. A
        record that is to be created and exists is refused, unless this very batch created it. `at` is the time to note.
        """
        changes = {change.key: change for change in batch.changes if not self._is_done(change, batch.id)}
        if changes or not batch.changes:
            if refused := self._refusals(batch, changes.values()):
                return BatchAnswer(refused=refused)
            if full := self._make(changes.values(), batch, at):
                return BatchAnswer(full=full)
        versions = {c.key: self._records[c.key].version for c in batch.changes if c.key in self._records}
        return BatchAnswer(versions=versions)

    def _is_done(self, change: Change, batch_id: str) -> bool:
        record = self._records.get(change.key)
        if change.value is None or record is None:
            return change.value is None and record is None
        is_ours = change.version is not None or (batch_id != "" and record.batch == batch_id)
        return is_ours and record.value == change.value

    def _refusals(self, batch: Batch, changes: Iterable[Change]) -> tuple[Refusal, ...]:
        keys = [change.key for change in changes if change.version != self._version_of(change.key)]
        keys += [key for key in batch.exists if key not in self._records]
        for condition in batch.unchanged:
            keys += self._changed_since(condition.version, condition.prefix)
        shown = {key: self._records.get(key) for key in keys[:SHOWN]}
        return tuple(Refusal(key=key, current=shown.get(key)) for key in dict.fromkeys(keys))

    def _version_of(self, key: str) -> int | None:
        record = self._records.get(key)
        return record.version if record else None

    def _changed_since(self, version: int, prefix: str) -> list[str]:
        if version < self._forgotten:
            return [prefix]  # what was removed since then is not known
        keys = [record.key for record in self._newer(version)] + self._removed_since(version)
        return [key for key in keys if key.startswith(prefix)]

    def _make(self, changes: Collection[Change], batch: Batch, at: str) -> str:
        """Makes the changes, or answers the limit that forbids them.

        A batch may have 10,000, and Temporal gives a workflow two seconds, also on a machine with much else to do: each
        step is one pass.
        """
        more = _counted(change.key for change in changes if change.version is None)
        more.subtract(_counted(change.key for change in changes if change.value is None))
        for scope, step in more.items():
            if step > 0 and self._counts[scope] + step > most(scope):
                return scope
        numbered = enumerate(changes, self._version + 1)
        made = {change.key: _record(change, version, batch, at) for version, change in numbered}
        if not self._fits(made, size_of(batch) + OVERHEAD * len(made)):
            return SIZE
        self._counts.update(more)
        self._take(made)
        return ""

    def _fits(self, made: Mapping[str, Record | None], bytes_at_most: int) -> bool:
        # What was packed once cannot have grown by more than was written since, all of it incompressible: only where
        # that leaves a doubt is the whole table packed. Base64 makes 4 bytes of 3.
        written = self._written_bytes + bytes_at_most
        if self._packed_bytes + written * 4 / 3 < PACKED_BYTES:
            self._written_bytes = written
            return True
        packed = len(pack([record for record in {**self._records, **made}.values() if record]))
        if packed < PACKED_BYTES:
            self._packed_bytes, self._written_bytes = packed, 0
        return packed < PACKED_BYTES

    def _take(self, made: Mapping[str, Record | None]) -> None:
        for key, record in made.items():
            self._version += 1
            self._records.pop(key, None)  # what is written last stands last
            if record:
                self._records[key] = record
            else:
                self._removed.pop(key, None)
                self._removed[key] = self._version
        while len(self._removed) > REMOVALS:
            self._forgotten = self._removed.pop(next(iter(self._removed)))

    # ── read ──

    def since(self, known: Known) -> Delta:
        """What a reader lacks that knows the table as of a version: the changes, or everything."""
        now = Known(chain=self._chain, version=self._version)
        if known.chain != self._chain or not self._forgotten <= known.version <= self._version:
            return _delta(now, list(self._records.values()), is_whole=True)
        return _delta(now, self._newer(known.version), removed=self._removed_since(known.version))

    def state(self) -> CatalogueState:
        """The table for the next run."""
        return CatalogueState(
            packed=pack(list(self._records.values())),
            version=self._version,
            removed=tuple((version, key) for key, version in self._removed.items()),
            forgotten=self._forgotten,
        )

    def _newer(self, version: int) -> list[Record]:
        newer = itertools.takewhile(lambda record: record.version > version, reversed(self._records.values()))
        return list(newer)[::-1]

    def _removed_since(self, version: int) -> list[str]:
        newer = itertools.takewhile(lambda removal: removal[1] > version, reversed(self._removed.items()))
        return [key for key, _ in newer]


def _delta(now: Known, records: Sequence[Record], *, removed: Sequence[str] = (), is_whole: bool = False) -> Delta:
    if size_of(records) <= PLAIN_BYTES:
        return Delta(known=now, is_whole=is_whole, removed=tuple(removed), records=tuple(records))
    return Delta(known=now, is_whole=is_whole, removed=tuple(removed), packed=pack(records))


def _record(change: Change, version: int, batch: Batch, at: str) -> Record | None:
    if change.value is None:
        return None
    return Record(change.key, version, change.value, batch.by, at, batch.id)


def _counted(keys: Iterable[str]) -> Counter[str]:
    """How many of these records each limited set has."""
    return Counter(itertools.chain.from_iterable(map(scopes, keys)))
