"""A journal in the store: entries that are only ever added, by any number of processes.

An entry is a small object under the hour in which it was written. Hours that have passed are folded into one compressed
segment each. A process keeps what it has read, and asks only for what is new: a journal of many thousand entries costs
one or two listings per read.

    journal/revisions/20261130T12/1764504000123-9f2c41d07a3b.json     one entry, or several written together
    journal/revisions/20261130T11/segment.json.gz                     what that hour's objects held, by their names
"""

from __future__ import annotations

import gzip
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from towline.errors import NotFound
from towline.store import Store
from towline.store.parallel import in_parallel

Entry = Mapping[str, Any]
HOUR = 3600.0
SEGMENT = "segment.json.gz"
FOLD_FROM = 8
"""Objects of one hour that are worth a segment."""
SETTLED_HOURS = 2
"""After so long nothing is written into an hour any more, even by a machine whose clock is an hour slow."""


class Journal:
    """The entries under one name. Blocks, as the store does; may be used from several threads."""

    def __init__(self, store: Store, name: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._prefix, self._clock = store, f"journal/{name}/", clock
        self._lock = threading.Lock()
        self._read: set[str] = set()
        self._segments: set[str] = set()
        self._read_until = 0.0

    def append(self, *entries: Entry) -> None:
        """Adds entries, all of them or none. Raises OurFault."""
        now = self._clock()
        key = f"{self._prefix}{_hour(now)}/{int(now * 1000)}-{secrets.token_hex(6)}.json"
        self._store.put(key, json.dumps(entries).encode())

    def read_new(self) -> list[Entry]:
        """The entries that this object has not returned yet, in the order of their times. Raises OurFault."""
        with self._lock:
            now = self._clock()
            found: dict[str, Sequence[Entry]] = {}
            for hour in self._hours(now):
                found |= self._new_of(hour)
            self._read |= found.keys()
            self._read_until = now
            return [entry for name in sorted(found, key=_time_of) for entry in found[name]]

    def fold(self) -> int:
        """Folds settled hours into segments; returns how many. Two processes that fold at once do no harm."""
        settled = _hour(self._clock() - SETTLED_HOURS * HOUR)
        by_hour: dict[str, list[str]] = {}
        for key in self._store.keys(self._prefix):
            hour, _, name = key.removeprefix(self._prefix).partition("/")
            if hour < settled and name != SEGMENT:
                by_hour.setdefault(hour, []).append(key)
        worthwhile = [hour for hour, keys in by_hour.items() if len(keys) >= FOLD_FROM]
        for hour in worthwhile:
            self._fold(hour, by_hour[hour])
        return len(worthwhile)

    def _fold(self, hour: str, keys: Sequence[str]) -> None:
        known, found = self._segment(hour), self._objects(keys)
        if len(found) < len(keys):
            return  # another process is folding this hour
        lines = "\n".join(json.dumps(item) for item in sorted((known | found).items()))
        self._store.put(f"{self._prefix}{hour}/{SEGMENT}", gzip.compress(lines.encode(), mtime=0))
        for key in keys:
            self._store.delete(key)

    def _hours(self, now: float) -> Iterable[str]:
        """The hours to look into: all at first, later those into which a process may have written since."""
        if not self._read_until:
            keys = self._store.keys(self._prefix)
            return sorted({key.removeprefix(self._prefix).partition("/")[0] for key in keys})
        first = self._read_until - SETTLED_HOURS * HOUR
        return [_hour(first + n * HOUR) for n in range(int((now - first) / HOUR) + SETTLED_HOURS)]

    def _new_of(self, hour: str) -> dict[str, Sequence[Entry]]:
        """The hour's objects that have not been read, by their names."""
        keys = list(self._store.keys(f"{self._prefix}{hour}/"))
        single = [key for key in keys if not key.endswith(SEGMENT) and _name(key) not in self._read]
        found = self._objects(single)
        is_folded = any(key.endswith(SEGMENT) for key in keys) and hour not in self._segments
        if is_folded or len(found) < len(single):
            found |= self._segment(hour)
            self._segments.add(hour)
        return {name: entries for name, entries in found.items() if name not in self._read}

    def _objects(self, keys: Sequence[str]) -> dict[str, Sequence[Entry]]:
        """What lies under these keys, by their names; without those that were folded in the meantime."""
        return {name: entries for name, entries in in_parallel(self._object, keys) if entries is not None}

    def _object(self, key: str) -> tuple[str, Sequence[Entry] | None]:
        try:
            return _name(key), json.loads(self._store.get(key))
        except NotFound:
            return _name(key), None

    def _segment(self, hour: str) -> dict[str, Sequence[Entry]]:
        try:
            data = self._store.get(f"{self._prefix}{hour}/{SEGMENT}")
        except NotFound:
            return {}
        return dict(json.loads(line) for line in gzip.decompress(data).decode().splitlines())


def _hour(moment: float) -> str:
    return time.strftime("%Y%m%dT%H", time.gmtime(moment))


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def _time_of(name: str) -> tuple[int, str]:
    milliseconds, _, rest = name.partition("-")
    return int(milliseconds), rest
