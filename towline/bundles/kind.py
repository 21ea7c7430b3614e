"""Detects the type of an archive (tar, tgz or zip) from its first bytes, as `file` does.

Names are unreliable: keys from CodePipeline and CDK have no extension, and `aws deploy push` writes a zip whatever the
key is called.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from towline.errors import InvalidInput
from towline.model.bundle.revision import BundleType, bundle_type_of

_PACKED_TARS = (b"BZh", b"\xfd7zXZ\0")  # tar detects these compressions
_ENDINGS = "Give it the ending .tar, .tgz or .zip, or say which it is with --bundle-type"


def kind_of(path: Path) -> BundleType | None:
    """The archive type of a file by its content; None if it is not an archive. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith(b"\x1f\x8b"):
        return "tgz"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(_PACKED_TARS) or _is_tar_header(head):
        return "tar"
    return "zip" if zipfile.is_zipfile(path) else None  # may have data in front, as self-extracting ones do


def bundle_type(path: Path, given: BundleType | None, name: str = "") -> BundleType:
    """The type to read an archive as: by its content, else the given type, else by the name's extension.

    A gzipped archive declared as `tar` stays `tar`, since tar detects compression. Raises InvalidInput if the type
    cannot be determined, OSError if the file cannot be read.
    """
    shown = name or path.name
    found = kind_of(path)
    given = given or bundle_type_of(shown)
    if given == "tar" and found == "tgz":
        return given
    if found or given:
        return found or given  # type: ignore[return-value]
    raise InvalidInput(f"{shown}: it is neither a tar archive (packed or not) nor a zip archive", _ENDINGS)


def _is_tar_header(head: bytes) -> bool:
    """Whether a block is a tar header, by its checksum: old archives lack the POSIX magic."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
