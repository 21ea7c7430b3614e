"""The digest of a file, which identifies a revision."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
