"""The bundle of the speed benchmark: 5 MB in 200 files that do not compress, five one-line hooks."""

from __future__ import annotations

import gzip
import io
import random
import tarfile

FILES = 200
FILE_BYTES = 25_000
HOOKS = ("ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
DESTINATION = "/srv/shop"

APPSPEC = f"""version: 0.0
os: linux
files:
  - source: files
    destination: {DESTINATION}
file_exists_behavior: OVERWRITE
hooks:
""" + "".join(f"  {event}:\n    - location: scripts/{event}.sh\n      timeout: 60\n" for event in HOOKS)


def make_bundle(seed: int = 1) -> bytes:
    """The archive (tar.gz); the same seed gives the same bytes."""
    numbers = random.Random(seed)
    members = {"appspec.yml": APPSPEC.encode()}
    members |= {f"scripts/{event}.sh": f"#!/bin/sh\necho {event} >> /tmp/hooks\n".encode() for event in HOOKS}
    members |= {f"files/{i % 10}/{i:03d}.bin": numbers.randbytes(FILE_BYTES) for i in range(FILES)}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)
