"""One S3 server for this folder's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.s3 import s3_server


@pytest.fixture(scope="package")
def s3_address() -> Iterator[str]:
    """The address of an S3 server."""
    with s3_server() as address:
        yield address
