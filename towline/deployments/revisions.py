"""Revisions as people name them: a location's text, or a path on this machine, which is sent to the store."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from towline import errors
from towline.model.bundle.revision import BundleType, RevisionLocation

# What reads archives and AppSpecs is imported where it is used: most commands name a revision that is elsewhere.
if TYPE_CHECKING:
    from towline.bundles.archive import Bundle
    from towline.model.problem import Problem
    from towline.store import Store


@dataclass(frozen=True)
class UploadedRevision:
    """A revision that is in the store, and what its AppSpec is warned of."""

    location: RevisionLocation
    warnings: tuple[Problem, ...] = ()


def parse_revision(text: str, bundle_type: BundleType | None = None) -> RevisionLocation | None:
    """Return the location that a text names; None for a path, and for what a group may have had before.

    Raises `InvalidInput`, and `NotFound` for a path that does not exist.
    """
    if re.match(r"[a-z0-9+.-]+://", text):
        try:
            location = RevisionLocation.parse(text)
        except ValueError as error:
            raise errors.InvalidInput(f"{error}.") from error
        return _with_type(location, bundle_type) if bundle_type else location
    if "/" in text and not is_on_disk(text):  # without a slash it may be a deployment's id, a digest, a label
        raise errors.NotFound(
            f"revision {text!r}: there is no such directory or archive.",
            "The other forms are s3://BUCKET/KEY and github://OWNER/REPO@SHA",
        )
    return None


def is_on_disk(text: str) -> bool:
    """Return whether a text is an existing path on this machine."""
    return Path(text).exists()


def upload(store: Store, path: Path, bundle_type: BundleType | None = None) -> UploadedRevision:
    """Pack a directory, or take an archive, and send it to the store unless it is there already. Blocks.

    Raises `InvalidBundle` for a broken or hostile archive, `OurFault` where the store cannot be written.
    """
    from towline.bundles.local import as_archive, location_of, read_local, revision_key

    warnings = warnings_of(read_local(path, bundle_type))  # a hostile or broken archive stops here
    with tempfile.TemporaryDirectory(prefix="towline-") as folder:
        archive = as_archive(path, Path(folder), bundle_type)
        key = revision_key(archive.sha256, archive.bundle_type)
        if not store.exists(key):
            store.put_file(key, archive.path)
        return UploadedRevision(location_of(archive, path.resolve().name), warnings)


def warnings_of(bundle: Bundle) -> tuple[Problem, ...]:
    """Return what the AppSpec of a bundle is warned of."""
    from towline.model.appspec.lint import lint_bundle
    from towline.model.appspec.parser import parse_appspec
    from towline.model.problem import Severity, bounded

    checked = parse_appspec(bundle.appspec, bundle.appspec_name)
    problems = bounded([*checked.problems, *lint_bundle(checked, bundle.listing)])
    return tuple(problem for problem in problems if problem.severity is Severity.WARNING)


def _with_type(location: RevisionLocation, bundle_type: BundleType) -> RevisionLocation:
    if location.s3_location is None:
        raise errors.InvalidInput("GitHub's archives are always tgz.", "Leave --bundle-type out.")
    s3 = location.s3_location.model_copy(update={"bundle_type": bundle_type})
    return location.model_copy(update={"s3_location": s3})
