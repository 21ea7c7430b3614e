"""A real S3 API for tests: moto's server on a free port, reached by AWS's own environment variables."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server for as long as the block; gives its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host if host != '0.0.0.0' else '127.0.0.1'}:{port}"
    finally:
        server.stop()


def aws_environ(endpoint: str) -> dict[str, str]:
    """AWS's environment variables for an endpoint, with credentials that mean nothing elsewhere."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def use_aws(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Points this process at an endpoint, see `aws_environ`."""
    for name, value in aws_environ(endpoint).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


def s3_client(endpoint: str) -> S3Client:
    """A client of such a server, whatever the environment says."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="eu-west-1",
    )


def new_bucket(endpoint: str, *, versioned: bool = False) -> str:
    """A fresh bucket, so that tests do not meet; call it after `use_aws`."""
    client = s3_client(endpoint)
    name = f"b-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    if versioned:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name
