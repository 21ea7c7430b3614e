"""Which access keys of hosts are good: the catalogue keeps each host's generation, never a secret.

A new generation leaves the one before it good for a day, so that the host's file can be changed without a gap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from towline.catalogue.repository import Catalogue, CatalogueConflict, of_kind
from towline.errors import Conflict, NotFound
from towline.model.base import ApiShape
from towline.model.catalogue.records import Change, Record

KEPT_SECONDS = 60.0
"""How long generations are believed without a read: so much later at most is a revoked key refused."""
UNKNOWN_SECONDS = 1.0
"""How often an unknown key makes the catalogue be read."""
OVERLAP_SECONDS = 24 * 3600.0
ATTEMPTS = 5


@dataclass(frozen=True)
class KnownHost:
    """A host with AWS's agent, and the ARNs that it may call itself by besides its name's."""

    name: str
    arns: tuple[str, ...] = ()


class AccessKeyRecord(ApiShape):
    """`access-key/NAME`: the generation of a host's key; `before_until`: how long the one before it is good, too."""

    instance_name: str
    generation: int
    before_until: float = 0.0
    is_revoked: bool = False
    changed_by: str = ""

    def is_good(self, generation: int, now: float) -> bool:
        """Whether the host may sign with its key of this generation.

        >>> record = AccessKeyRecord(instance_name="web-1", generation=3, before_until=100.0)
        >>> [record.is_good(generation, 99.0) for generation in (1, 2, 3, 4)]
        [False, True, True, False]
        """
        if self.is_revoked:
            return False
        return generation == self.generation or (generation == self.generation - 1 and now < self.before_until)


class HostAccessKeys:
    """Reads and writes the generations. Every method that awaits raises TemporalUnavailable."""

    def __init__(self, catalogue: Catalogue, *, clock: Callable[[], float] = time.time) -> None:
        self._catalogue, self._clock = catalogue, clock
        self._known: Mapping[str, AccessKeyRecord] = {}
        self._arns: Mapping[str, tuple[str, ...]] = {}
        self._read_at = 0.0

    async def host(self, name: str, generation: int) -> KnownHost | None:
        """The host of a name, if it may sign in with its key of this generation."""
        age = self._clock() - self._read_at
        if age > KEPT_SECONDS or (not self._is_good(name, generation) and age > UNKNOWN_SECONDS):
            await self._read()
        return KnownHost(name, self._arns.get(name, ())) if self._is_good(name, generation) else None

    async def invite(self, names: Iterable[str], *, by: str = "") -> dict[str, int]:
        """Begins the next generation of these hosts' keys. Raises NotFound where there is no such instance."""
        wanted = list(dict.fromkeys(names))
        for _ in range(ATTEMPTS):
            found = await self._catalogue.read(
                key for name in wanted for key in (f"instance/{name}", f"access-key/{name}")
            )
            if missing := [name for name in wanted if f"instance/{name}" not in found]:
                hint = "Declare it first: `codedeployAgent: {}` in towline.yaml, or register-on-premises-instance."
                raise NotFound(f"there is no instance {missing[0]}", hint)
            records = [self._next(name, found.get(f"access-key/{name}"), by) for name in wanted]
            if await self._written(records, found):
                return {record.instance_name: record.generation for record in records}
        raise Conflict("the same instances are being invited by another command", "Try again.")

    async def revoke(self, name: str, *, by: str = "") -> bool:
        """Ends a host's keys, all of them; False: it has none."""
        for _ in range(ATTEMPTS):
            found = await self._catalogue.read([f"access-key/{name}"])
            if not found:
                return False
            record = AccessKeyRecord.model_validate(found[f"access-key/{name}"].value)
            revoked = record.model_copy(update={"is_revoked": True, "before_until": 0.0, "changed_by": by})
            if await self._written([revoked], found):
                return True
        raise Conflict(f"the keys of {name} are being changed by another command", "Try again.")

    def _is_good(self, name: str, generation: int) -> bool:
        record = self._known.get(name)
        return bool(record and record.is_good(generation, self._clock()))

    def _next(self, name: str, found: Record | None, by: str) -> AccessKeyRecord:
        before = AccessKeyRecord.model_validate(found.value) if found else None
        overlaps = before is not None and not before.is_revoked
        return AccessKeyRecord(
            instance_name=name,
            generation=before.generation + 1 if before else 1,
            before_until=self._clock() + OVERLAP_SECONDS if overlaps else 0.0,
            changed_by=by,
        )

    async def _written(self, records: Iterable[AccessKeyRecord], found: Mapping[str, Record]) -> bool:
        try:
            await self._catalogue.write([_change(record, found) for record in records])
        except CatalogueConflict:
            return False
        return True

    async def _read(self) -> None:
        records = await self._catalogue.read_all("access-key", "registration")
        self._known = of_kind(records, "access-key", AccessKeyRecord.model_validate)
        self._arns = of_kind(records, "registration", _arns)
        self._read_at = self._clock()


def _change(record: AccessKeyRecord, found: Mapping[str, Record]) -> Change:
    key = f"access-key/{record.instance_name}"
    return Change(key=key, version=found[key].version if key in found else None, value=record.as_json())


def _arns(registration: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(registration[name] for name in ("iamUserArn", "iamSessionArn") if registration.get(name))
