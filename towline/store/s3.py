"""The store in S3: for workers on several machines, and hosts that fetch archives by presigned URL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from towline import aws
from towline.errors import NotFound
from towline.store import check_key


class S3Store:
    """Objects below a prefix of a bucket. S3's writes are whole or not at all by themselves."""

    def __init__(self, bucket: str, prefix: str = "", client: Any = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._given = client

    @property
    def address(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @cached_property
    def _client(self) -> Any:
        return self._given or aws.client("s3")

    def put(self, key: str, data: bytes) -> None:
        """Keeps bytes under a key."""
        name = self._name(key)
        with aws.translated(self._shown(key)):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """Keeps a file's content under a key."""
        name = self._name(key)
        with aws.translated(self._shown(key)):
            self._client.upload_file(str(path), self._bucket, name)

    def get(self, key: str) -> bytes:
        """The bytes under a key; raises NotFound."""
        name = self._name(key)
        with aws.translated(self._shown(key)):
            answer = self._client.get_object(Bucket=self._bucket, Key=name)
            return bytes(answer["Body"].read())

    def fetch(self, key: str, path: Path) -> None:
        """Writes the bytes under a key to a file; raises NotFound."""
        name = self._name(key)
        with aws.translated(self._shown(key)):
            self._client.download_file(self._bucket, name, str(path))

    def delete(self, key: str) -> None:
        """Removes what lies under a key, if anything does."""
        name = self._name(key)
        with aws.translated(self._shown(key)):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        name = self._name(key)
        try:
            with aws.translated(self._shown(key)):
                self._client.head_object(Bucket=self._bucket, Key=name)
        except NotFound:
            return False
        return True

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with a prefix, sorted (by their bytes, as S3 does)."""
        with aws.translated(self._shown(prefix)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(self._prefix)

    def url(self, key: str, seconds: int) -> str | None:
        """A presigned address of the bytes: a secret."""
        name = self._name(key)
        with aws.translated(self._shown(key)):
            address: str = self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": name}, ExpiresIn=seconds
            )
        return address

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _shown(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"
