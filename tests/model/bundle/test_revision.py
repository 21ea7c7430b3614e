"""Where a revision is, as text and back: an S3 key is text and no URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.bundle.revision import SHORT_BYTES, RevisionLocation, S3Location, s3_label, shortened

ODD_KEYS = [
    "plain.zip#new",
    "/lead.zip",
    "//two.zip",
    "a?b.tgz",
    "dir/a b+c%25&d;e=f.zip",
    "../up.zip",
    "a/../b/./c.tar",
    "späte/Lieferung-日本.tgz",
    "a.zip?versionId=3",
    "?versionId=",
    "a?etag=x&versionId=y",
    "NoExt/h3Xk9aQ",
    "trailing/",
    "line\nend.zip",
    " ",
]

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_pieces = ["?", "versionId=", "etag=", "&", "#", "/", "..", "%3F", "+", "a", ".zip"]
_keys = _text | st.lists(st.sampled_from(_pieces), min_size=1).map("".join)


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("version", [None, "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"])
def test_each_key_comes_back_as_it_was(key: str, version: str | None) -> None:
    location = parsed(s3_label(S3Location(bucket="rel", key=key, version=version)))
    assert (location.bucket, location.key, location.version) == ("rel", key, version)


@given(_keys, st.none() | _text)
def test_any_key_and_version_come_back_as_they_were(key: str, version: str | None) -> None:
    location = parsed(s3_label(S3Location(bucket="rel", key=key, version=version)))
    assert (location.bucket, location.key, location.version) == ("rel", key, version)


@pytest.mark.parametrize(
    ("text", "key", "version", "e_tag"),
    [
        ("s3://b/k.zip?versionId=7&etag=ab", "k.zip", "7", "ab"),
        ("s3://b/k.zip?etag=%22ab%22", "k.zip", None, '"ab"'),
        ("s3://b/k.zip?other=1", "k.zip?other=1", None, None),
        ("s3://b/k.zip?other=1?versionId=7", "k.zip?other=1", "7", None),
        ("s3://b/k.zip?versionId=7#new", "k.zip?versionId=7#new", None, None),
    ],
)
def test_only_what_pins_is_taken_from_the_end(text: str, key: str, version: str | None, e_tag: str | None) -> None:
    location = parsed(text)
    assert (location.key, location.version, location.e_tag) == (key, version, e_tag)


@pytest.mark.parametrize("text", ["s3://", "s3://b", "s3://b/", "s3:///k.zip", "s3://b/?versionId=7"])
def test_a_bucket_and_a_key_are_needed(text: str) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET/KEY"):
        RevisionLocation.parse(text)


def test_what_temporal_keeps_of_a_label_has_its_end() -> None:
    long = "s3://b/" + "ü" * 400 + "/shop.tgz?versionId=7"
    assert len(shortened(long).encode()) <= SHORT_BYTES
    assert shortened(long).endswith("/shop.tgz?versionId=7")
    assert shortened("s3://b/k.tgz") == "s3://b/k.tgz"


def parsed(text: str) -> S3Location:
    location = RevisionLocation.parse(text).s3_location
    assert location
    return location
