"""The catalogue's records: what is written and read, and the table that one `Catalogue` workflow keeps.

A record is a plain JSON object under a key `kind/name` (`instance/web-001`, `group/shop/production`), with a version.
A writer says which version it read, so that two people who change one thing at once lose nothing. Versions count
through a whole table, so that a record that was removed and made again never has an old version. What the objects
mean is not known here: `manifest.py` and `towline/catalogue/client.py` do.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import Field

from towline.model.base import Message

Kind = Literal["application", "group", "config", "instance", "ssh", "ec2", "setting"]

PAGE_LIMIT = 500  # records in one page or batch …
PAGE_BYTES = 1024 * 1024  # … and their size as JSON: a payload of Temporal's ends at 2 MiB
CARRIED_BYTES = 1536 * 1024  # what a table may have, compressed, to be carried into the next run


class Record(Message):
    """One thing that exists. `by` and `at` (ISO 8601) tell who wrote it last, for the one who comes second."""

    key: str
    version: int
    value: dict[str, Any]
    by: str = ""
    at: str = ""


class Change(Message):
    """Writes (`value`) or removes (None) a record. `version`: the one that was read, None: it must not exist."""

    key: str
    version: int | None = None
    value: dict[str, Any] | None = None


class Batch(Message):
    """Changes that are made together or not at all; their keys belong to one table."""

    changes: tuple[Change, ...]
    by: str = ""


class Refusal(Message):
    """A change whose version is not the current one; `current` None: the record does not exist."""

    key: str
    current: Record | None = None


class BatchAnswer(Message):
    """The versions after a batch (removed records are absent), or why nothing of it was done."""

    versions: dict[str, int] = Field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()


class PageRequest(Message):
    """Asks for the records of these kinds whose keys follow `after`, in order of their keys."""

    kinds: tuple[Kind, ...] = Field(min_length=1)
    after: str = ""
    limit: int = Field(default=PAGE_LIMIT, ge=1, le=PAGE_LIMIT)


class Page(Message):
    """Records in order of their keys, and whether there are more."""

    records: tuple[Record, ...] = ()
    has_more: bool = False


class Keys(Message):
    """Asks for single records; absent ones are left out of the answer."""

    keys: tuple[str, ...] = Field(max_length=PAGE_LIMIT)


class CatalogueState(Message):
    """A table as it is handed from run to run: zlib-compressed JSON of its records, in base64."""

    packed: str = ""
    version: int = 0


class TableFull(Exception):
    """The table would no longer fit into one message."""


class Table:
    """The records of one part of the catalogue, in memory."""

    def __init__(self, state: CatalogueState | None = None) -> None:
        self._records: dict[str, Record] = {}
        self._keys: list[str] = []  # sorted
        self._version = 0
        self._bytes = 0
        if state and state.packed:
            for row in json.loads(zlib.decompress(base64.b64decode(state.packed))):
                self._put(Record.model_validate(row))
        if state:
            self._version = state.version

    def __len__(self) -> int:
        return len(self._records)

    def apply(self, batch: Batch, at: str = "") -> BatchAnswer:
        """Makes all changes of a batch, or none if one is refused; `at` is the time to note.

        A record that already is as asked for is left as it is, whatever its version: a repeated batch does no harm.
        Raises `TableFull`, with nothing changed.
        """
        wanted = [change for change in batch.changes if not self._is_done(change)]
        refused = tuple(
            Refusal(key=change.key, current=self._records.get(change.key))
            for change in wanted
            if change.version != self._version_of(change.key)
        )
        if refused:
            return BatchAnswer(refused=refused)
        before = {change.key: self._records.get(change.key) for change in wanted}
        for change in wanted:
            self._make(change, batch.by, at)
        if wanted and not self._fits():
            for key, record in before.items():
                self._restore(key, record)
            raise TableFull(f"{len(self)} records are as much as one part of the catalogue can hold")
        versions = {c.key: self._records[c.key].version for c in batch.changes if c.key in self._records}
        return BatchAnswer(versions=versions)

    def page(self, request: PageRequest) -> Page:
        """The next records of these kinds: at most `limit`, at most `PAGE_BYTES`, at least one if there is any."""
        found: list[Record] = []
        size = 0
        for key in self._keys_of(request.kinds, request.after):
            record = self._records[key]
            size += _size(record)
            if found and (len(found) == request.limit or size > PAGE_BYTES):
                return Page(records=tuple(found), has_more=True)
            found.append(record)
        return Page(records=tuple(found))

    def _keys_of(self, kinds: Iterable[Kind], after: str) -> Iterator[str]:
        for prefix in sorted(f"{kind}/" for kind in set(kinds)):
            start = bisect_right(self._keys, max(after, prefix))
            for key in itertools.islice(self._keys, start, None):
                if not key.startswith(prefix):
                    break
                yield key

    def read(self, keys: Keys) -> Page:
        """The records of these keys that exist, as far as one page holds them (`has_more` otherwise)."""
        found: list[Record] = []
        size = 0
        for key in keys.keys:
            record = self._records.get(key)
            if record is None:
                continue
            size += _size(record)
            if found and size > PAGE_BYTES:
                return Page(records=tuple(found), has_more=True)
            found.append(record)
        return Page(records=tuple(found))

    def state(self) -> CatalogueState:
        """The table for the next run."""
        return CatalogueState(packed=self._packed(), version=self._version)

    def _is_done(self, change: Change) -> bool:
        record = self._records.get(change.key)
        return record is None if change.value is None else record is not None and record.value == change.value

    def _version_of(self, key: str) -> int | None:
        record = self._records.get(key)
        return record.version if record else None

    def _make(self, change: Change, by: str, at: str) -> None:
        self._remove(change.key)
        self._version += 1
        if change.value is not None:
            self._put(Record(key=change.key, version=self._version, value=change.value, by=by, at=at))

    def _restore(self, key: str, record: Record | None) -> None:
        self._remove(key)
        if record:
            self._put(record)

    def _put(self, record: Record) -> None:
        insort(self._keys, record.key)
        self._records[record.key] = record
        self._bytes += _size(record)

    def _remove(self, key: str) -> None:
        record = self._records.pop(key, None)
        if record:
            del self._keys[bisect_right(self._keys, key) - 1]
            self._bytes -= _size(record)

    def _fits(self) -> bool:
        # Packing is only paid for where the plain size leaves a doubt; base64 makes 4 bytes of 3.
        return self._bytes * 4 / 3 < CARRIED_BYTES or len(self._packed()) < CARRIED_BYTES

    def _packed(self) -> str:
        rows = [self._records[key].model_dump() for key in self._keys]
        return base64.b64encode(zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)).decode()


def _size(record: Record) -> int:
    return len(json.dumps(record.value, separators=(",", ":"))) + len(record.key) + len(record.by) + 100
