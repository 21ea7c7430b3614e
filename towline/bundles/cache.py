"""A worker's disk cache of archives by digest: one that is sent to many hosts is fetched once."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from towline.bundles.digest import digest_of
from towline.errors import OurFault, hint_of

_RECENT_SECONDS = 3600.0


class Cache:
    """A folder of archives named by SHA-256 and type; several workers of one user may share it.

    The least recently used archives are removed to stay below `limit_bytes`. Those used within the last hour stay,
    since they may be on their way to a host.
    """

    def __init__(self, folder: Path, limit_bytes: int = 4 * 1024**3) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._lock = threading.Lock()

    def find(self, sha256: str, bundle_type: str) -> Path | None:
        """The archive with this digest, if it is cached and intact."""
        path = self._folder / f"{sha256}.{bundle_type}"
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def keep(self, path: Path, bundle_type: str) -> tuple[Path, str, int]:
        """Adds a file in this folder to the cache under its digest; returns path, digest and size."""
        sha256, size = digest_of(path)
        kept = self._folder / f"{sha256}.{bundle_type}"
        path.replace(kept)
        self._shrink(keep=kept)
        return kept, sha256, size

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary file to download into, removed on exit unless kept; raises OurFault if it cannot be created."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix="fetching-", dir=self._folder)
        except OSError as error:
            raise OurFault(
                f"{self._folder}: {error.strerror}", hint_of(error.errno) or "The worker needs a folder for archives"
            ) from error
        os.close(handle)
        try:
            yield Path(name)
        except OSError as error:
            raise OurFault(
                f"{self._folder}: {error.strerror or error}", hint_of(error.errno) or f"See: df {self._folder}"
            ) from error
        finally:
            Path(name).unlink(missing_ok=True)

    def _shrink(self, keep: Path) -> None:
        with self._lock:
            files = sorted(_uses(self._folder))
            total = sum(size for _, size, _ in files)
            for used, size, file in files:
                if total <= self._limit:
                    return
                if file != keep and used < time.time() - _RECENT_SECONDS:
                    file.unlink(missing_ok=True)
                    total -= size


def _uses(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Last use, size and path of each file; another worker may remove one in the meantime."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            status = path.stat()
            yield status.st_mtime, status.st_size, path
