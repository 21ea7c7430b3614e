"""The store: where revisions, plans, records, logs and reports lie. A directory (one machine) or S3.

    with_directory = open_store("/var/lib/towline/store")
    with_s3 = open_store("s3://bucket/prefix")

All verbs block; async callers use `asyncio.to_thread`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from towline.errors import InvalidInput
from towline.model.bundle.revision import S3_SCHEME, split_s3

_PART = re.compile(r"[^/\x00-\x1f\x7f]{1,200}")


@runtime_checkable
class Store(Protocol):
    """Bytes under keys such as `plans/<sha256>.json`. Every verb raises OurFault where the store cannot be used."""

    @property
    def address(self) -> str:
        """The store's address, as `open_store` takes it."""

    def put(self, key: str, data: bytes) -> None:
        """Keeps bytes under a key, whole or not at all; what was there is replaced."""

    def get(self, key: str) -> bytes:
        """The bytes under a key; raises NotFound."""

    def put_file(self, key: str, path: Path) -> None:
        """Keeps a file's content under a key, whole or not at all."""

    def fetch(self, key: str, path: Path) -> None:
        """Writes the bytes under a key to a file; raises NotFound."""

    def delete(self, key: str) -> None:
        """Removes what lies under a key, if anything does."""

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with a prefix, sorted."""

    def url(self, key: str, seconds: int) -> str | None:
        """A presigned address of the bytes, a secret; None where the store has none to give."""


def open_store(address: str) -> Store:
    """The store at a directory's path or at `s3://BUCKET[/PREFIX]`; raises InvalidInput for anything else."""
    if address.startswith(S3_SCHEME):
        bucket, prefix = split_s3(address)
        if not bucket:
            raise InvalidInput(f"store {address!r}: no bucket", "Write it as s3://BUCKET/PREFIX")
        from towline.store.s3 import S3Store

        return S3Store(bucket, prefix.strip("/"))
    if not address or "://" in address:
        raise InvalidInput(f"store {address!r} is neither a directory nor s3://BUCKET/PREFIX", "Set TOWLINE_STORE")
    from towline.store.directory import DirectoryStore

    return DirectoryStore(Path(address.removeprefix("file:")).expanduser().absolute())


def check_key(key: str) -> str:
    """The key, if it may become a path; raises InvalidInput for absolute ones, `..` and the like.

    >>> check_key("plans/1a2b.json")
    'plans/1a2b.json'
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") or not _PART.fullmatch(part) or part.startswith(".tmp-") for part in parts):
        raise InvalidInput(f"store key {key!r} is not a relative path of plain names")
    return key
