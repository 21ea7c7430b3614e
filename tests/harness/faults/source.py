"""Where revisions of some rounds come from: S3 (moto's), behind a gate at which hosts can be made to wait."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.harness.faults.site import FaultSite
from tests.harness.s3 import aws_environ, s3_client, s3_server
from tests.harness.s3_gate import Gate, s3_gate
from towline.bundles.local import as_archive
from towline.model.bundle.revision import RevisionLocation, S3Location

BUCKET = "revisions"


class Source:
    """The bucket. `gate.hold()` makes hosts wait for their archives, `gate.let_go()` ends that."""

    def __init__(self, endpoint: str, gate: Gate) -> None:
        self.gate = gate
        self._s3 = s3_client(endpoint)
        self._s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    @property
    def environ(self) -> dict[str, str]:
        """How workers reach it."""
        return aws_environ(self.gate.url)

    def revision(self, site: FaultSite, version: str) -> RevisionLocation:
        """Puts a revision there: hosts fetch it by themselves, by a presigned address."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / version
            site.write_bundle(folder, version)
            archive = as_archive(folder, Path(name))
            key = f"{version}.{archive.bundle_type}"
            self._s3.put_object(Bucket=BUCKET, Key=key, Body=archive.path.read_bytes())
        location = S3Location(bucket=BUCKET, key=key, bundle_type=archive.bundle_type)
        return RevisionLocation(revision_type="S3", s3_location=location)


@contextlib.contextmanager
def source(address: str = "127.0.0.1") -> Iterator[Source]:
    """The source for the block, at an address of this machine that hosts reach."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto would print each request
    with s3_server() as endpoint, s3_gate(endpoint, address) as gate:
        yield Source(endpoint, gate)
