"""Where an application revision is: CodeDeploy's RevisionLocation, and ours for what a client sent from its disk."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, model_validator

from towline.model.base import ApiShape, Message

BundleType = Literal["tar", "tgz", "zip"]


class S3Location(ApiShape):
    """An object in S3. Without `version` and `eTag` the newest is read once, and pinned there."""

    bucket: str = Field(min_length=1)
    key: str = Field(min_length=1)
    bundle_type: BundleType
    version: str | None = None
    e_tag: str | None = None


class GitHubLocation(ApiShape):
    """A commit of `account/repository`."""

    repository: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    commit_id: str = Field(min_length=1)


class StoreLocation(ApiShape):
    """Ours: an archive that a client sent to towline's store, by the SHA-256 of its bytes (hex)."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    bundle_type: BundleType
    name: str = ""


class RevisionLocation(ApiShape):
    """CodeDeploy's RevisionLocation with `revisionType` S3 or GitHub; ours is `Store`."""

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
        """How people write it: `s3://b/key?versionId=3`, `github://owner/repo@1a2b3c4`, `shop.tgz (sha256 1a2b3c4)`.

        >>> RevisionLocation.parse("github://o/r@abcdef").label
        'github://o/r@abcdef'
        """
        if self.s3_location:
            s3 = self.s3_location
            return f"s3://{s3.bucket}/{s3.key}" + (f"?versionId={s3.version}" if s3.version else "")
        if self.git_hub_location:
            return f"github://{self.git_hub_location.repository}@{self.git_hub_location.commit_id}"
        assert self.store_location
        return f"{self.store_location.name or 'bundle'} (sha256 {self.store_location.digest[:7]})"

    @classmethod
    def parse(cls, text: str) -> RevisionLocation:
        """Reads `s3://B/K[?versionId=…&etag=…]` or `github://OWNER/REPO@SHA`; raises ValueError with the rule.

        >>> RevisionLocation.parse("s3://b/dir/app.tar.gz?versionId=7").s3_location.bundle_type
        'tgz'
        """
        parts = urlsplit(text)
        if parts.scheme == "s3":
            query = parse_qs(parts.query)
            unknown = set(query) - {"versionId", "etag"}
            if unknown:
                raise ValueError(f"s3 revision {text!r}: only versionId and etag may follow the '?'")
            key = parts.path.lstrip("/")
            if not parts.netloc or not key:
                raise ValueError(f"s3 revision {text!r}: the form is s3://BUCKET/KEY[?versionId=…]")
            location = S3Location(
                bucket=parts.netloc,
                key=key,
                bundle_type=bundle_type_of(key),
                version=query.get("versionId", [None])[0],
                e_tag=query.get("etag", [None])[0],
            )
            return cls(revision_type="S3", s3_location=location)
        match = re.fullmatch(r"github://([^/\s@]+/[^/\s@]+)@(\S+)", text)
        if match:
            return cls(
                revision_type="GitHub",
                git_hub_location=GitHubLocation(repository=match[1], commit_id=match[2]),
            )
        raise ValueError(
            f"revision {text!r}: the forms are s3://BUCKET/KEY, github://OWNER/REPO@SHA, or a path on disk"
        )


def bundle_type_of(name: str) -> BundleType:
    """The bundle type that a file name tells; raises ValueError for other endings.

    >>> bundle_type_of("shop-1.2.tar.gz")
    'tgz'
    """
    lower = name.lower()
    if lower.endswith((".tgz", ".tar.gz")):
        return "tgz"
    if lower.endswith(".tar"):
        return "tar"
    if lower.endswith(".zip"):
        return "zip"
    raise ValueError(f"{name!r}: the bundle type is told by the ending, .tar, .tgz, .tar.gz or .zip")


class ResolvedRevision(Message):
    """A revision read once: what every host must get, byte for byte."""

    location: RevisionLocation  # with version and eTag as they were at the first read
    version_was_found: bool = False  # the request named no S3 version: hooks hear of none, as with AWS's agent
    sha256: str
    size: int  # bytes
    bundle_type: BundleType
    label: str
    store_key: str = ""  # where the archive lies in towline's store; empty where hosts fetch from S3 itself
    plan_key: str = ""  # where the compiled plan lies in the store
    events: tuple[str, ...] = ()  # the lifecycle events that have scripts, for people
    warnings: tuple[str, ...] = ()


class ReadRevision(Message):
    """Asks for a revision to be read once. Tokens are only named (`env:NAME`, `file:PATH`, …)."""

    location: RevisionLocation
    deployment_id: str = ""
    git_hub_token: str | None = None
    git_hub_url: str | None = None
