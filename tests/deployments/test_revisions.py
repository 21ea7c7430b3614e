"""Revisions on this machine are sent to the store once."""

from __future__ import annotations

from pathlib import Path

from towline.deployments.revisions import upload
from towline.store import open_store


def test_a_local_revision_is_packed_once_and_sent_once(tmp_path: Path) -> None:
    bundle = tmp_path / "shop"
    bundle.mkdir()
    (bundle / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    store = open_store(str(tmp_path / "store"))
    first = upload(store, bundle)
    assert upload(store, bundle) == first
    assert first.location.label.startswith("shop (sha256 ")
    assert len(list(store.keys("revisions/"))) == 1
