"""The list of a bundle's members and the unpacked archive lead to the same Install, whatever their links do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from towline.bundles.archive import read_directory
from towline.host.runner.bundle_tree import BundleTree
from towline.host.runner.install_tree import InstallTree
from towline.host.runner.sources import OnDisk

NAMES = st.sampled_from("ab")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(PATHS, PATHS.map(lambda path: "../" + path), st.sampled_from([".", "..", "../..", "/etc", "/gone"]))
BUNDLES = st.dictionaries(PATHS, st.one_of(st.none(), TARGETS), max_size=8)
"""Files (None) and links by path; directories are those above them."""


def make(root: Path, bundle: dict[str, str | None]) -> None:
    """Makes what fits: a path below a file or a link is left out."""
    for name, target in sorted(bundle.items()):
        path = root / name
        if path.is_symlink() or path.exists():
            continue
        if any(above.is_symlink() or above.is_file() for above in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if target is None:
            path.write_text("x")
        else:
            path.symlink_to(target)


def installed(sources: Any, source: str, top: str) -> tuple[list[str], list[str], set[tuple[str, str]]]:
    """Files, directories and refusals, with paths from the top of the bundle."""
    refused: set[tuple[str, str]] = set()
    tree = InstallTree(sources, lambda kind, path, _message: refused.add((kind, path.removeprefix(top).lstrip("/"))))
    tree.add_entry({"source": source, "destination": "/srv"})
    return sorted(tree.copies), sorted(tree.directories), refused


@given(BUNDLES, st.one_of(st.just("/"), PATHS))
@example({"a/x": None, "b": "a"}, "/")
@example({"a/b/a": "../.."}, "a")
@example({"a": "b/a", "b/a/b": None}, "a")
@example({"a": "/etc"}, "a")
def test_the_list_of_members_and_the_unpacked_archive_lead_to_the_same(
    bundle: dict[str, str | None], source: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory).resolve() / "deployment-root/group/d-1/deployment-archive"
        top.mkdir(parents=True)
        make(top, bundle)
        (top / "appspec.yml").write_text("version: 0.0\n")
        members = [vars(member) for member in read_directory(top).listing.members]
        assert installed(BundleTree(members), source, "") == installed(OnDisk(str(top)), source, str(top))
