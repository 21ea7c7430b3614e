"""Locations of application revisions: CodeDeploy's RevisionLocation, and towline's for uploads from a client's disk."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import quote, unquote

from pydantic import Field, model_validator

from towline.model.base import ApiShape, Message

BundleType = Literal["tar", "tgz", "zip"]


class S3Location(ApiShape):
    """An object in S3. Without `version` and `eTag` the newest is read once, and pinned.

    Without `bundleType` the type is detected from the content.
    """

    bucket: str = Field(min_length=1)
    key: str = Field(min_length=1)
    bundle_type: BundleType | None = None
    version: str | None = None
    e_tag: str | None = None


class GitHubLocation(ApiShape):
    """A commit of `account/repository`."""

    repository: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    commit_id: str = Field(min_length=1)


class StoreLocation(ApiShape):
    """towline's extension: an archive that a client uploaded to the store, by its SHA-256 (hex)."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    bundle_type: BundleType
    name: str = ""


class RevisionLocation(ApiShape):
    """CodeDeploy's RevisionLocation with `revisionType` S3 or GitHub; `Store` is towline's extension."""

    revision_type: Literal["S3", "GitHub", "Store"]
    s3_location: S3Location | None = None
    git_hub_location: GitHubLocation | None = None
    store_location: StoreLocation | None = None

    @model_validator(mode="after")
    def _location_matches_type(self) -> Self:
        wanted = {"S3": "s3_location", "GitHub": "git_hub_location", "Store": "store_location"}[self.revision_type]
        given = [n for n in ("s3_location", "git_hub_location", "store_location") if getattr(self, n) is not None]
        if given != [wanted]:
            camel = {
                "s3_location": "s3Location",
                "git_hub_location": "gitHubLocation",
                "store_location": "storeLocation",
            }
            raise ValueError(f"revisionType {self.revision_type} needs {camel[wanted]}, and no other location")
        return self

    @property
    def label(self) -> str:
        """As people write it: `s3://b/key?versionId=3`, `github://owner/repo@1a2b3c4`, `shop.tgz (sha256 1a2b3c4)`.

        >>> RevisionLocation.parse("github://o/r@abcdef").label
        'github://o/r@abcdef'
        """
        if self.s3_location:
            return s3_label(self.s3_location)
        if self.git_hub_location:
            return f"github://{self.git_hub_location.repository}@{self.git_hub_location.commit_id}"
        assert self.store_location
        return f"{self.store_location.name or 'bundle'} (sha256 {self.store_location.digest[:7]})"

    @classmethod
    def parse(cls, text: str) -> RevisionLocation:
        """Reads `s3://B/K[?versionId=…&etag=…]` or `github://OWNER/REPO@SHA`; raises ValueError with the rule.

        The key is text, not a URL: everything between the bucket and a last `?versionId=` or `?etag=` is taken
        literally. The bundle type is that of the key's extension, if it has one.

        >>> RevisionLocation.parse("s3://b/dir/app.tar.gz?versionId=7").s3_location.bundle_type
        'tgz'
        >>> RevisionLocation.parse("s3://b//a?b #1/../100%25").s3_location.key
        '/a?b #1/../100%25'
        """
        if text.startswith(S3_SCHEME):
            return cls(revision_type="S3", s3_location=_parse_s3(text))
        match = re.fullmatch(r"github://([^/\s@]+/[^/\s@]+)@(\S+)", text)
        if match:
            return cls(
                revision_type="GitHub",
                git_hub_location=GitHubLocation(repository=match[1], commit_id=match[2]),
            )
        raise ValueError(
            f"revision {text!r}: the forms are s3://BUCKET/KEY, github://OWNER/REPO@SHA, or a path on disk"
        )


SHORT_BYTES = 180
"""Length limit of a label in Temporal (attribute: 255 characters, summary: 400 bytes); an S3 key has up to 1,024."""


def shortened(label: str) -> str:
    """A label cut to fit into Temporal; the middle is dropped, since versions and file names are at the end.

    >>> shortened("s3://b/" + "long/" * 100 + "shop.tgz")[-30:]
    'g/long/long/long/long/shop.tgz'
    """
    raw, half = label.encode(), SHORT_BYTES // 2 - 2
    if len(raw) <= SHORT_BYTES:
        return label
    return f"{raw[:half].decode(errors='ignore')}…{raw[-half:].decode(errors='ignore')}"


S3_SCHEME = "s3://"
_PINS = re.compile(r"\?((?:versionId|etag)=[^?&#]*(?:&(?:versionId|etag)=[^?&#]*)*)\Z")


def s3_label(location: S3Location) -> str:
    """An object in S3 as people write it; `RevisionLocation.parse` reads bucket, key and version back.

    >>> s3_label(S3Location(bucket="b", key="a#1.zip", version="3"))
    's3://b/a#1.zip?versionId=3'

    A key that ends like a version gets an empty one appended:

    >>> s3_label(S3Location(bucket="b", key="a?versionId=3"))
    's3://b/a?versionId=3?versionId='
    """
    version = quote(location.version or "", safe="/=+:~,")
    is_needed = version or _PINS.search(location.key)
    return f"{S3_SCHEME}{location.bucket}/{location.key}" + (f"?versionId={version}" if is_needed else "")


def split_s3(text: str) -> tuple[str, str]:
    """The bucket and the rest of `s3://BUCKET/…`; either may be empty."""
    bucket, _, rest = text.removeprefix(S3_SCHEME).partition("/")
    return bucket, rest


def _parse_s3(text: str) -> S3Location:
    pins = _PINS.search(text)
    bucket, key = split_s3(text[: pins.start()] if pins else text)
    if not bucket or not key:
        raise ValueError(f"s3 revision {text!r}: the form is s3://BUCKET/KEY[?versionId=…]")
    given = dict(pair.split("=", 1) for pair in pins[1].split("&")) if pins else {}
    return S3Location(
        bucket=bucket,
        key=key,
        bundle_type=bundle_type_of(key),
        version=unquote(given.get("versionId", "")) or None,
        e_tag=unquote(given.get("etag", "")) or None,
    )


def bundle_type_of(name: str) -> BundleType | None:
    """The bundle type by the extension of a name, if known.

    >>> bundle_type_of("shop-1.2.tar.gz"), bundle_type_of("MyApp/BuildArtif/h3Xk9aQ")
    ('tgz', None)
    """
    lower = name.lower()
    if lower.endswith((".tgz", ".tar.gz")):
        return "tgz"
    if lower.endswith(".tar"):
        return "tar"
    return "zip" if lower.endswith(".zip") else None


class ResolvedRevision(Message):
    """A revision pinned at its first read, so that every host gets the same bytes."""

    location: RevisionLocation  # with version and eTag of the first read
    version_was_found: bool = False  # the request named no S3 version: hooks get none, as with AWS's agent
    sha256: str
    size: int  # bytes
    bundle_type: BundleType
    label: str
    unpacked_bytes: int = 0  # 0: unknown; the size limit for unpacking on hosts
    store_key: str = ""  # the archive in towline's store; empty if hosts fetch from S3
    plan_key: str = ""  # the compiled plan in the store
    events: tuple[str, ...] = ()  # the lifecycle events that have scripts, for display
    warnings: tuple[str, ...] = ()


class ReadRevision(Message):
    """A request to read a revision once. Tokens are references (`env:NAME`, `file:PATH`, …)."""

    location: RevisionLocation
    deployment_id: str = ""
    git_hub_token: str | None = None
    git_hub_url: str | None = None
    strict: bool = False  # warnings are errors
