"""The catalogue's records and the messages by which they are written and read.

A record is a plain JSON object under a key `kind/name` (`instance/web-001`, `group/shop/production`), with a version.
A writer says which version it read, so that two people who change one thing at once lose nothing. Versions count
through a whole table, so that a record that was removed and made again never has an old version. What the objects
mean is not known here: `manifest` and `towline/catalogue/repository.py` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from towline.model.base import Message
from towline.model.catalogue.packing import PLAIN_BYTES, pack, size_of, unpack

Kind = Literal[
    "application",
    "group",
    "config",
    "instance",
    "registration",
    "arn",
    "agent",
    "invite",
    "access-key",
    "ssh",
    "ec2",
    "setting",
    "tags",
]


def kind_of(key: str) -> str:
    """The kind of a record.

    >>> kind_of("group/shop/production")
    'group'
    """
    return key.partition("/")[0]


class Record(NamedTuple):
    """One thing that exists. `by` and `at` (ISO 8601) tell who wrote it last, `batch` is the id of that batch."""

    key: str
    version: int
    value: dict[str, Any]
    by: str = ""
    at: str = ""
    batch: str = ""


class Change(NamedTuple):
    """Writes (`value`) or removes (None) a record. `version`: the one that was read, None: it must not exist."""

    key: str
    version: int | None = None
    value: dict[str, Any] | None = None


class Unchanged(Message):
    """Requires that nothing whose key begins with `prefix` was written or removed after `version` of the table."""

    prefix: str
    version: int


class Batch(Message):
    """Changes to one table that are made together or not at all.

    `exists` names records that must exist, `unchanged` what must be as it was read: conditions on records that the
    batch does not change. `id` tells a batch that is sent again from another one that creates the same record.
    """

    changes: tuple[Change, ...] = ()
    exists: tuple[str, ...] = ()
    unchanged: tuple[Unchanged, ...] = ()
    by: str = ""
    id: str = ""


class Refusal(Message):
    """A record that is not as a batch requires; `current` None: it does not exist, or is not among the first shown."""

    key: str
    current: Record | None = None


class BatchAnswer(Message):
    """The versions after a batch (removed records are absent), or why nothing of it was done.

    `full` names the limit that the batch would exceed: see `limits.py`.
    """

    versions: dict[str, int] = Field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    full: str = ""


class WriteRequest(Message):
    """Batches of several writers, each made or refused by itself, in this order. Large ones travel packed."""

    batches: tuple[Batch, ...] = ()
    packed: str = ""

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> WriteRequest:
        """A request for these batches."""
        if size_of(batches) <= PLAIN_BYTES:
            return cls(batches=tuple(batches))
        return cls(packed=pack(batches))

    @property
    def all(self) -> tuple[Batch, ...]:
        """The batches, however they travelled."""
        if not self.packed:
            return self.batches
        return tuple(_batch(**fields) for fields in unpack(self.packed))


class WriteAnswer(Message):
    """One answer for each batch of a request."""

    answers: tuple[BatchAnswer, ...] = ()


class Known(Message):
    """What a reader has of a table: the version, and the chain of workflow runs in which versions count."""

    chain: str = ""
    version: int = 0


class Delta(Message):
    """What changed in a table since a reader's version. `is_whole`: everything there is, to replace what it has."""

    known: Known
    is_whole: bool = False
    removed: tuple[str, ...] = ()  # before `records`: some of them may have been made again
    records: tuple[Record, ...] = ()
    packed: str = ""

    @property
    def all(self) -> tuple[Record, ...]:
        """The records, however they travelled."""
        return tuple(map(Record._make, unpack(self.packed))) if self.packed else self.records


class CatalogueState(Message):
    """A table as it is handed from run to run: its records, packed, and what was removed of late."""

    packed: str = ""
    version: int = 0
    removed: tuple[tuple[int, str], ...] = ()  # (version of the removal, key), oldest first
    forgotten: int = 0  # removals up to this version are not known any more


def _batch(changes: list[list[Any]], **fields: Any) -> Batch:
    return Batch.model_validate(fields).model_copy(update={"changes": tuple(map(Change._make, changes))})
