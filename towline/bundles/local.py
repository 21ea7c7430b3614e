"""Revisions on a client's disk: turns a directory or an archive into an archive with a known digest."""

from __future__ import annotations

from pathlib import Path

from towline.bundles.archive import Bundle, read_archive, read_directory
from towline.bundles.digest import digest_of
from towline.bundles.kind import bundle_type, kind_of
from towline.bundles.pack import Packed, pack
from towline.errors import InvalidInput, NotFound, OurFault
from towline.model.bundle.revision import BundleType, RevisionLocation, StoreLocation


def read_local(path: Path, given: BundleType | None = None) -> Bundle:
    """Reads a directory or an archive; raises NotFound, InvalidInput, InvalidBundle or OurFault.

    `given` is the bundle type that the user named; the content must not contradict it.
    """
    if path.is_dir():
        return read_directory(path)
    return read_archive(path, type_on_disk(path, given))


def as_archive(path: Path, folder: Path, given: BundleType | None = None) -> Packed:
    """The archive of a revision on disk: an archive as it is, a directory packed into `folder`.

    Raises NotFound, InvalidInput, InvalidBundle or OurFault; `read_local` rejects a hostile archive.
    """
    if path.is_dir():
        name = path.resolve().name or "bundle"
        kind = given or "tgz"
        return pack(path, folder / f"{name}.{kind}", kind)
    return Packed(path, type_on_disk(path, given), *digest_of(path))


def location_of(archive: Packed, name: str) -> RevisionLocation:
    """The location of an archive once a client has uploaded it to the store (under `revision_key`)."""
    location = StoreLocation(digest=archive.sha256, bundle_type=archive.bundle_type, name=name)
    return RevisionLocation(revision_type="Store", store_location=location)


def revision_key(sha256: str, bundle_type: str) -> str:
    """The store key of a revision's archive."""
    return f"revisions/{sha256}.{bundle_type}"


def type_on_disk(path: Path, given: BundleType | None = None) -> BundleType:
    """The type of an archive on disk; raises NotFound, InvalidInput if it is not an archive of that type, OurFault."""
    try:
        found = kind_of(path)
        if given and found and given != found and (given, found) != ("tar", "tgz"):
            raise InvalidInput(f"{path}: it is a {found} archive, not {given}", "Leave --bundle-type out")
        return bundle_type(path, given)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file or directory") from error
    except OSError as error:
        raise OurFault(f"{path}: {error.strerror}") from error
