"""Files that people name on the command line, read with a limit: a pipe may never end, a device has no end."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from towline.errors import InvalidInput

PATIENCE_SECONDS = 10.0
"""For so long a pipe or terminal may say nothing; `<(command)` and /dev/stdin work."""
_PIECE = 64 * 1024


def read_input(path: Path, limit: int) -> bytes:
    """A file's bytes, at most `limit` of them. Raises OSError, and InvalidInput where it is larger or stays silent."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        pieces: list[bytes] = []
        left = limit
        while left >= 0:
            if not is_file and not select.select([file], [], [], PATIENCE_SECONDS)[0]:
                rule = f"{path}: nothing came from it in {PATIENCE_SECONDS:g} s; it is not a file."
                raise InvalidInput(rule, "Write the text to a file, and name that.")
            piece = os.read(file.fileno(), _PIECE)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            left -= len(piece)
    raise InvalidInput(f"{path}: it has more than {limit} bytes, which is the limit.", "Name the YAML file itself.")
