"""Revisions that tests deploy: a page for `/srv/shop` and a script for some lifecycle events."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from towline.bundles.local import as_archive, location_of, revision_key
from towline.model.bundle.revision import RevisionLocation
from towline.store import open_store


def write_bundle(
    folder: Path,
    version: str,
    events: Iterable[str] = ("AfterInstall",),
    *,
    script: str,
    location: str = "scripts/after.sh",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Writes a revision into a new folder: its page says the version, and each event runs the script at `location`."""
    (folder / location).parent.mkdir(parents=True)
    for path, text in {"index.html": f"{version}\n", **(files or {})}.items():
        (folder / path).write_text(text)
    hooks = "".join(f"  {event}:\n    - location: {location}\n" for event in events)
    (folder / "appspec.yml").write_text(
        f"version: 0.0\nos: linux\nfiles:\n  - {{source: index.html, destination: /srv/shop}}\nhooks:\n{hooks}"
    )
    (folder / location).write_text(script)
    (folder / location).chmod(0o755)
    return folder


def put_bundle(store: str, folder: Path) -> RevisionLocation:
    """Puts a revision into a store, as `towline deploy PATH` does."""
    with tempfile.TemporaryDirectory() as temporary:
        archive = as_archive(folder, Path(temporary))
        key = revision_key(archive.sha256, archive.bundle_type)
        opened = open_store(store)
        if not opened.exists(key):
            opened.put_file(key, archive.path)
        return location_of(archive, folder.name)
