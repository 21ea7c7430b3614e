"""Rows as they travel and rest: zlib-compressed JSON in base64, since a payload of Temporal's ends at 2 MiB.

Whole tables are packed and unpacked inside a workflow, to which Temporal gives two seconds at a time, also on a machine
with much else to do. Hence tuples and plain JSON: 10,000 validated models would take five times as long.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from pydantic_core import to_json

PLAIN_BYTES = 128 * 1024
"""What is smaller travels as plain JSON, which people can read in Temporal's Web UI."""

PACKED_BYTES = 1536 * 1024
"""The most that one message may carry, packed."""


def size_of(value: Any) -> int:
    """The bytes of its JSON."""
    return len(to_json(value))


def pack(value: Any) -> str:
    """Packs what JSON can express. Level 1: what a higher one gains is not worth the time inside a workflow."""
    return base64.b64encode(zlib.compress(to_json(value), 1)).decode()


def unpack(packed: str) -> Any:
    """The JSON that was packed."""
    return json.loads(zlib.decompress(base64.b64decode(packed)))
