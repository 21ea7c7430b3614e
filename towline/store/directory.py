"""The store in a directory: one machine, no other parts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from towline.errors import NotFound, OurFault, hint_of
from towline.store import check_key

_TEMPORARY = ".tmp-"


class DirectoryStore:
    """Files below a directory. A write is a new file that is synced and then renamed over the old one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def address(self) -> str:
        """The directory's path."""
        return str(self._root)

    def put(self, key: str, data: bytes) -> None:
        """Keeps bytes under a key."""
        self._write(key, lambda file: file.write(data))

    def put_file(self, key: str, path: Path) -> None:
        """Keeps a file's content under a key."""
        with self._translated(key), path.open("rb") as source:
            self._write(key, lambda file: shutil.copyfileobj(source, file, 1024 * 1024))

    def get(self, key: str) -> bytes:
        """The bytes under a key; raises NotFound."""
        with self._translated(key):
            return self._path(key).read_bytes()

    def fetch(self, key: str, path: Path) -> None:
        """Writes the bytes under a key to a file; raises NotFound."""
        with self._translated(key):
            shutil.copyfile(self._path(key), path)

    def delete(self, key: str) -> None:
        """Removes what lies under a key, if anything does."""
        with self._translated(key):
            self._path(key).unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        with self._translated(key):
            return self._path(key).is_file()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with a prefix, sorted."""
        # Only the prefix's own folder is walked: a store holds years of records.
        folder, _, _ = prefix.rpartition("/")
        start = self._root / check_key(folder) if folder else self._root
        with self._translated(prefix):
            found = [
                os.path.join(directory, name)  # noqa: PTH118 - a folder may hold many thousand
                for directory, _, names in os.walk(start)
                for name in names
                if not name.startswith(_TEMPORARY)
            ]
        above = len(str(self._root)) + 1
        yield from sorted(key for path in found if (key := path[above:]).startswith(prefix))

    def url(self, key: str, seconds: int) -> str | None:
        """None: nobody serves a directory."""
        return None

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _write(self, key: str, fill: Callable[[BinaryIO], object]) -> None:
        path = self._path(key)
        with self._translated(key, is_write=True):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    @contextmanager
    def _translated(self, key: str, *, is_write: bool = False) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if is_write:  # a file where a folder should be: nothing that somebody asked for is missing
                raise OurFault(f"store {self._root}: {error}", "Look at what lies there.") from error
            raise NotFound(f"nothing is stored under {key} in {self._root}") from error
        except OSError as error:
            hint = hint_of(error.errno) or f"Check that this user may write there: {self._root}"
            raise OurFault(f"store {self._root}: {error.strerror or error}", hint) from error


def _sync_folder(folder: Path) -> None:
    """Without this a crash of the machine may forget the rename."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
