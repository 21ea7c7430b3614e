"""Revisions in S3: read once, pinned to version and ETag, fetched by hosts through presigned URLs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from towline import aws
from towline.errors import InvalidBundle, NotFound, OurFault
from towline.model.bundle.revision import S3Location, s3_label

_CHUNK = 1024 * 1024
_LARGEST_SINGLE_PUT = 4 * 1024**3


class S3:
    """Downloads, uploads and presigns revisions in S3. Methods block and raise NotFound, InvalidBundle or OurFault."""

    def __init__(self, client: Any = None) -> None:
        self._given = client
        self._clients: dict[str, Any] = {}  # by bucket: a presigned URL is only valid in the bucket's region
        self._lock = threading.Lock()

    def download(self, location: S3Location, path: Path) -> S3Location:
        """Downloads the object to a file; returns the location with the version and ETag that were read.

        An ETag in `location` must match the object's, quotes aside.
        """
        what = s3_label(location)
        with aws.translated(what):
            answer = self._client(location.bucket).get_object(**_object(location))
            e_tag = str(answer["ETag"]).strip('"')
            if location.e_tag and location.e_tag.strip('"') != e_tag:
                raise InvalidBundle(
                    f"{what}: its ETag is {e_tag}, not {location.e_tag}",
                    "The object was replaced; name its version, or deploy with the new ETag",
                )
            with path.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    file.write(chunk)
        version = answer.get("VersionId")
        pinned = version if version and version != "null" else location.version
        return location.model_copy(update={"version": pinned, "e_tag": e_tag})

    def url(self, location: S3Location, seconds: int) -> str:
        """A presigned URL of the object, which is a secret. Makes no request."""
        with aws.translated(s3_label(location)):
            client = self._client(location.bucket)
            url: str = client.generate_presigned_url("get_object", Params=_object(location), ExpiresIn=seconds)
            return url

    def upload(self, path: Path, location: S3Location) -> S3Location:
        """Uploads an archive; returns its location with ETag and, in a versioned bucket, version."""
        client = self._client(location.bucket)
        where = _object(location)
        with aws.translated(s3_label(location)):
            if path.stat().st_size <= _LARGEST_SINGLE_PUT:
                with path.open("rb") as file:
                    answer = client.put_object(**where, Body=file)
            else:  # the transfer manager uploads in parts, but returns no version or ETag
                client.upload_file(str(path), location.bucket, location.key)
                answer = client.head_object(**where)
        version = answer.get("VersionId")
        pinned = version if version != "null" else None
        return location.model_copy(update={"version": pinned, "e_tag": str(answer["ETag"]).strip('"')})

    def _client(self, bucket: str) -> Any:
        if self._given:
            return self._given
        with self._lock:
            if bucket not in self._clients:
                client = aws.client("s3")
                region = _region_of(client, bucket)
                same = region in ("", client.meta.region_name)
                self._clients[bucket] = client if same else aws.client("s3", region)
            return self._clients[bucket]


def _region_of(client: Any, bucket: str) -> str:
    """The bucket's region; empty without permission to ask, which reading an object does not need."""
    try:
        with aws.translated(f"s3://{bucket}"):
            answer = client.head_bucket(Bucket=bucket)
    except (NotFound, OurFault):
        return ""
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", ""))


def _object(location: S3Location) -> dict[str, str]:
    version = {"VersionId": location.version} if location.version else {}
    return {"Bucket": location.bucket, "Key": location.key, **version}
