"""Revisions in S3, against a real S3 API."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.harness.s3 import new_bucket, use_aws
from tests.model.bundle.test_revision import ODD_KEYS
from towline.bundles.s3 import S3
from towline.errors import InvalidBundle, InvalidInput, NotFound, OurFault
from towline.model.bundle.revision import RevisionLocation, S3Location, s3_label

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    use_aws(monkeypatch, s3_address)
    return new_bucket(s3_address, versioned=True)


def location(bucket: str, **fields: Any) -> S3Location:
    return S3Location(bucket=bucket, key="apps/shop.tgz", bundle_type="tgz", **fields)


def upload(bucket: str, tmp_path: Path, content: bytes) -> S3Location:
    path = tmp_path / "up"
    path.write_bytes(content)
    return S3().upload(path, location(bucket))


def test_the_newest_is_read_and_pinned(bucket: str, tmp_path: Path) -> None:
    first = upload(bucket, tmp_path, b"one")
    second = upload(bucket, tmp_path, b"two")
    assert first.version != second.version
    pinned = S3().download(location(bucket), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"two"
    assert pinned == second
    upload(bucket, tmp_path, b"three")
    assert S3().download(pinned, tmp_path / "out") == pinned
    assert (tmp_path / "out").read_bytes() == b"two"
    with urllib.request.urlopen(S3().url(pinned, 60)) as answer:
        assert answer.read() == b"two"


def test_a_given_version_and_etag_count(bucket: str, tmp_path: Path) -> None:
    first = upload(bucket, tmp_path, b"one")
    second = upload(bucket, tmp_path, b"two")
    assert S3().download(location(bucket, version=first.version), tmp_path / "out").e_tag == first.e_tag
    S3().download(location(bucket, e_tag=f'"{second.e_tag}"'), tmp_path / "out")
    with pytest.raises(InvalidBundle, match="replaced"):
        S3().download(location(bucket, e_tag=first.e_tag), tmp_path / "out")


def test_a_bucket_without_versions_gives_none(s3_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_aws(monkeypatch, s3_address)
    bucket = new_bucket(s3_address)
    assert upload(bucket, tmp_path, b"one").version is None
    assert S3().download(location(bucket), tmp_path / "out").version is None


def test_what_is_not_there(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"s3://{bucket}/apps/shop.tgz"):
        S3().download(location(bucket), tmp_path / "out")
    upload(bucket, tmp_path, b"one")
    boto3.client("s3").delete_object(Bucket=bucket, Key="apps/shop.tgz")
    with pytest.raises(NotFound):
        S3().download(location(bucket), tmp_path / "out")
    with pytest.raises(NotFound):
        S3().download(location("no-such-bucket-of-ours"), tmp_path / "out")


def test_an_s3_that_cannot_be_reached_is_our_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_aws(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OurFault):
        S3().download(location("b"), tmp_path / "out")


@pytest.mark.parametrize("key", [key for key in ODD_KEYS if "\n" not in key])  # moto routes none with a line end
def test_any_key_is_stored_read_and_presigned_as_it_is(bucket: str, tmp_path: Path, key: str) -> None:
    (tmp_path / "up").write_bytes(key.encode())
    label = s3_label(S3Location(bucket=bucket, key=key))
    asked = RevisionLocation.parse(label).s3_location
    assert asked
    uploaded = S3().upload(tmp_path / "up", asked)
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["Key"] for entry in listed] == [key]
    named = RevisionLocation.parse(s3_label(uploaded)).s3_location
    assert named and S3().download(named, tmp_path / "out").e_tag == uploaded.e_tag
    assert (tmp_path / "out").read_bytes() == key.encode()
    with urllib.request.urlopen(S3().url(uploaded, 60)) as answer:
        assert answer.read() == key.encode()


def test_an_archived_object_is_told_as_such(bucket: str, tmp_path: Path) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="apps/shop.tgz", Body=b"x", StorageClass="GLACIER")
    with pytest.raises(InvalidInput, match=r"apps/shop.tgz: the object is archived \(GLACIER\).*restore-object"):
        S3().download(location(bucket), tmp_path / "out")


@pytest.mark.parametrize("name", ["../x", "B B", "a/b"])
def test_a_bucket_that_cannot_exist_is_no_fault_of_ours(bucket: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="Check bucket"):
        S3().download(location(name), tmp_path / "out")
