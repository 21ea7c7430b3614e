"""Revisions on a client's disk: a directory or an archive becomes an archive with a known digest."""

from __future__ import annotations

from pathlib import Path

from towline.bundles.archive import Bundle, read_archive, read_directory
from towline.bundles.digest import digest_of
from towline.bundles.pack import Packed, pack
from towline.errors import InvalidInput, NotFound
from towline.model.revision import BundleType, RevisionLocation, StoreLocation, bundle_type_of


def read_local(path: Path) -> Bundle:
    """Looks into a directory or an archive; raises NotFound, InvalidInput or InvalidBundle."""
    if path.is_dir():
        return read_directory(path)
    return read_archive(path, _type_of(path))


def as_archive(path: Path, folder: Path) -> Packed:
    """The archive of a revision on disk: an archive as it is, a directory packed into `folder`.

    Raises NotFound, InvalidInput or InvalidBundle; a hostile archive is found by `read_local`.
    """
    if path.is_dir():
        name = path.resolve().name or "bundle"
        return pack(path, folder / f"{name}.tgz", "tgz")
    bundle_type = _type_of(path)
    return Packed(path, bundle_type, *digest_of(path))


def location_of(archive: Packed, name: str) -> RevisionLocation:
    """Where an archive will be once a client has sent it to the store (under `revision_key`)."""
    location = StoreLocation(digest=archive.sha256, bundle_type=archive.bundle_type, name=name)
    return RevisionLocation(revision_type="Store", store_location=location)


def revision_key(sha256: str, bundle_type: str) -> str:
    """Where the archive of a revision lies in the store."""
    return f"revisions/{sha256}.{bundle_type}"


def _type_of(path: Path) -> BundleType:
    if not path.exists():
        raise NotFound(f"{path}: no such file or directory")
    try:
        return bundle_type_of(path.name)
    except ValueError as error:
        raise InvalidInput(str(error), "Name a directory or an archive") from error
