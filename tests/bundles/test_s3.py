"""Revisions in S3, against a real S3 API."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.s3 import new_bucket, use_aws
from towline.bundles.s3 import S3
from towline.errors import InvalidBundle, NotFound, OurFault
from towline.model.revision import S3Location

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
