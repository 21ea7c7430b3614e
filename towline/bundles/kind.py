"""Which kind of archive a file is, by its first bytes: what `file` says, for the three kinds that a bundle may be.

Names do not tell it reliably: CodePipeline's and CDK's keys have no ending, and `aws deploy push` writes a zip whatever
the key is called.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from towline.errors import InvalidInput
from towline.model.bundle.revision import BundleType, bundle_type_of

_PACKED_TARS = (b"BZh", b"\xfd7zXZ\0")  # tar reads these by itself
_ENDINGS = "Give it the ending .tar, .tgz or .zip, or say which it is with --bundle-type"


def kind_of(path: Path) -> BundleType | None:
    """The type that the file's content tells; None where it is no archive. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith(b"\x1f\x8b"):
        return "tgz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(_PACKED_TARS) or _is_tar_header(head):
        return "tar"
    return "zip" if zipfile.is_zipfile(path) else None  # with something in front, as self-extracting ones have


def bundle_type(path: Path, told: BundleType | None, name: str = "") -> BundleType:
    """The type to read an archive as: what the content says, else what was told, else what the name's ending says.

    `tar` tells compression by itself, so a packed one that was called `tar` stays one. Raises InvalidInput where
    nothing tells it, OSError where the file cannot be read.
    """
    shown = name or path.name
    found = kind_of(path)
    told = told or bundle_type_of(shown)
    if told == "tar" and found == "tgz":
        return told
    if found or told:
        return found or told  # type: ignore[return-value]
    raise InvalidInput(f"{shown}: it is neither a tar archive (packed or not) nor a zip archive", _ENDINGS)


def _is_tar_header(head: bytes) -> bool:
    """Whether a block is a tar header: its checksum holds. What POSIX calls magic is missing in old archives."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
