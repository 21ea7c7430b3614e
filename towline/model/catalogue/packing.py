"""Rows as they travel and rest: zlib-compressed JSON in base64, since a payload of Temporal's ends at 2 MiB."""

from __future__ import annotations

import base64
import zlib
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

PLAIN_BYTES = 128 * 1024
"""What is smaller travels as plain JSON, which people can read in Temporal's Web UI."""

PACKED_BYTES = 1536 * 1024
"""The most that one message may carry, packed."""


def pack(rows: bytes) -> str:
    """JSON, packed. Level 1: what a higher level gains is not worth the time inside a workflow."""
    return base64.b64encode(zlib.compress(rows, 1)).decode()


def unpack(kind: TypeAdapter[T], packed: str) -> T:
    """What was packed, as what it is."""
    return kind.validate_json(zlib.decompress(base64.b64decode(packed)))
