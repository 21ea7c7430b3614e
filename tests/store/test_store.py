"""Both stores keep the same promises; each test runs against both."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.harness.s3 import new_bucket, use_aws
from towline.errors import InvalidInput, NotFound, OurFault
from towline.store import Store, open_store


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "directory":
        return open_store(str(tmp_path / "store"))
    address = request.getfixturevalue("s3_address")
    use_aws(monkeypatch, address)
    return open_store(f"s3://{new_bucket(address)}/some/prefix")


def test_what_is_put_is_got_and_replaced(store: Store) -> None:
    assert isinstance(store, Store)
    store.put("plans/a.json", b"one")
    assert store.get("plans/a.json") == b"one"
    store.put("plans/a.json", b"two")
    assert store.get("plans/a.json") == b"two"


def test_files_go_in_and_out(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(300_000))
    store.put_file("revisions/x.tgz", source)
    store.fetch("revisions/x.tgz", target)
    assert target.read_bytes() == source.read_bytes()


def test_absent_keys_are_not_found(store: Store, tmp_path: Path) -> None:
    assert not store.exists("a/b")
    with pytest.raises(NotFound):
        store.get("a/b")
    with pytest.raises(NotFound):
        store.fetch("a/b", tmp_path / "out")
    store.put("a/b", b"")
    assert store.exists("a/b")
    assert not store.exists("a")


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.put("a/b", b"-")
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")


def test_keys_are_listed_by_prefix_and_sorted(store: Store) -> None:
    for key in ("deployments/d-2/report.json", "deployments/d-1/order.json", "plans/x", "deployments/d-10/order.json"):
        store.put(key, b"-")
    assert list(store.keys("deployments/d-1")) == ["deployments/d-1/order.json", "deployments/d-10/order.json"]
    assert list(store.keys("deployments/d-1/")) == ["deployments/d-1/order.json"]
    assert list(store.keys("nothing/here")) == []
    assert len(list(store.keys())) == 4


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a/\0", "a/.tmp-1", "a\nb"])
def test_a_key_is_never_a_way_out(store: Store, key: str) -> None:
    with pytest.raises(InvalidInput):
        store.put(key, b"")
    with pytest.raises(InvalidInput):
        store.get(key)


def test_only_s3_gives_addresses_and_they_work_alone(store: Store) -> None:
    store.put("a/b", b"content")
    url = store.url("a/b", 60)
    if store.address.startswith("s3:"):
        assert url
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"content"
    else:
        assert url is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a/b", b"old")
    with pytest.raises(NotFound):
        store.put_file("a/b", tmp_path / "absent")
    assert store.get("a/b") == b"old"
    assert os.listdir(tmp_path / "a") == ["b"]


def test_a_directory_that_cannot_be_written_is_our_fault(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for root in ("/proc/towline-store", str(file / "store")):
        with pytest.raises(OurFault) as caught:
            open_store(root).put("a/b", b"")
        assert root in str(caught.value)


@pytest.mark.slow
def test_s3_out_of_reach_or_refusing_is_our_fault(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_aws(monkeypatch, s3_address)
    with pytest.raises(NotFound):
        open_store("s3://no-such-bucket-at-all").get("a")
    use_aws(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OurFault):
        open_store("s3://b").get("a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(OurFault, match="aws sts get-caller-identity"):
        open_store("s3://b").put("a", b"")


@pytest.mark.parametrize("address", ["", "s3://", "ftp://x/y"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidInput):
        open_store(address)


def test_boto3_is_imported_only_for_s3() -> None:
    code = (
        "import sys, towline.store, towline.secret_refs, towline.aws\n"
        "towline.store.open_store('/tmp/x').exists('a')\n"
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
