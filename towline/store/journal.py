"""A journal in the store: entries that are only ever added, by any number of processes.

An entry is a small object under the day on which it was written. Now and then objects are folded into one compressed
segment a day. No object is ever changed, so that nothing is lost whoever folds, writes or reads at once: a segment has
other objects' entries by their names, and a reader takes each name once. A process keeps what it has read and asks only
for what is new: one listing, of the newest objects, per read.

    journal/revisions/20261130/1764504000123-9f2c41d07a3b.json     one entry, or several written together
    journal/revisions/20261129/5d41402abc4b2a76.json.gz            what the objects of that day held
"""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from towline.errors import NotFound
from towline.store import Store
from towline.store.parallel import in_parallel

Entry = Mapping[str, Any]
Held = Mapping[str, Sequence[Entry]]
"""What an object holds: entries by the name of the object that was written with them first."""

JOURNALS = ("deployments", "revisions", "audit")
"""The names of all journals."""

HOUR = 3600.0
SKEW = 2 * HOUR
"""How wrong the clock of a machine that writes may be. After so long a day is over for all of them."""
FOLD_FROM = 64
"""Objects of a day that is not over that are worth a new segment."""
SEGMENT = ".json.gz"


class Journal:
    """The entries under one name. Blocks, as the store does; may be used from several threads."""

    def __init__(self, store: Store, name: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._prefix, self._clock = store, f"journal/{name}/", clock
        self._lock = threading.Lock()
        self._known: defaultdict[str, set[str]] = defaultdict(set)  # names of objects and entries, by day
        self._read_until = 0.0

    def append(self, *entries: Entry) -> None:
        """Adds entries, all of them or none. Raises OurFault."""
        now = self._clock()
        key = f"{self._prefix}{_day(now)}/{int(now * 1000)}-{secrets.token_hex(6)}.json"
        self._store.put(key, json.dumps(entries).encode())

    def read_new(self) -> list[Entry]:
        """The entries that this object has not returned yet, in the order of their times. Raises OurFault."""
        with self._lock:
            now = self._clock()
            read: dict[str, Held] = {}
            while self._read_more(read, now):
                pass  # something that was listed is part of a segment by now
            self._read_until = now
            found = self._unknown(read)
            self._forget_days_before(_day(now - SKEW))
            return [entry for name in sorted(found, key=_time_of) for entry in found[name]]

    def fold(self) -> int:
        """Folds objects into segments, one a day; returns how many. Any number of processes may do so at once."""
        by_day: defaultdict[str, list[str]] = defaultdict(list)
        for key in self._store.keys(self._prefix):
            by_day[self._day_of(key)].append(key)
        settled = _day(self._clock() - SKEW)
        worthwhile = [keys for day, keys in by_day.items() if len(keys) >= (2 if day < settled else FOLD_FROM)]
        return sum(self._fold(keys) for keys in worthwhile)

    def _fold(self, keys: Sequence[str]) -> bool:
        held: dict[str, Sequence[Entry]] = {}
        for _, one in in_parallel(self._held, keys):
            if one is None:
                return False  # another process is folding this day
            held.update(one)
        names = sorted(held)
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        segment = f"{self._prefix}{self._day_of(keys[0])}/{digest}{SEGMENT}"
        lines = "\n".join(json.dumps((name, held[name])) for name in names)
        self._store.put(segment, gzip.compress(lines.encode(), mtime=0))
        for key in keys:
            if key != segment:
                self._store.delete(key)
        return True

    def _read_more(self, read: dict[str, Held], now: float) -> bool:
        """Reads the objects that are new; returns whether one of them was folded between listing and reading."""
        new = [key for key in self._listed(now) if key not in read and _name(key) not in self._known[self._day_of(key)]]
        every = in_parallel(self._held, new)
        read.update((key, held) for key, held in every if held is not None)
        return any(held is None for _, held in every)

    def _unknown(self, read: Mapping[str, Held]) -> dict[str, Sequence[Entry]]:
        """The entries that were not known, by their names; they are known from now on."""
        found: dict[str, Sequence[Entry]] = {}
        for key, held in read.items():
            known = self._known[self._day_of(key)]
            found.update((name, entries) for name, entries in held.items() if name not in known)
            known.update(held, (_name(key),))
        return found

    def _listed(self, now: float) -> Iterable[str]:
        """The keys of all objects at first, later of the days on which a process may have written since."""
        if not self._read_until:
            return list(self._store.keys(self._prefix))
        first, last = self._read_until - SKEW, now + SKEW
        days = {_day(moment) for moment in (last, *_range(first, last, 24 * HOUR))}
        return [key for day in sorted(days) for key in self._store.keys(f"{self._prefix}{day}/")]

    def _forget_days_before(self, day: str) -> None:
        for past in [one for one in self._known if one < day]:
            del self._known[past]

    def _held(self, key: str) -> tuple[str, Held | None]:
        """What an object holds; None where it was folded meanwhile."""
        try:
            data = self._store.get(key)
        except NotFound:
            return key, None
        if key.endswith(SEGMENT):
            return key, dict(json.loads(line) for line in gzip.decompress(data).decode().splitlines())
        return key, {_name(key): json.loads(data)}

    def _day_of(self, key: str) -> str:
        return key.removeprefix(self._prefix).partition("/")[0]


def _day(moment: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(moment))


def _range(first: float, last: float, step: float) -> Iterable[float]:
    return (first + n * step for n in range(int((last - first) / step) + 1))


def _name(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _time_of(name: str) -> tuple[int, str]:
    milliseconds, _, rest = name.partition("-")
    return int(milliseconds), rest
