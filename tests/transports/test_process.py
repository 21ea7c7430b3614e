"""What processes and transports exchange: long messages and floods of short ones leave the event loop its turns."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.loop import loop_goes_on
from towline.errors import Unreachable
from towline.transports import base
from towline.transports.base import CHUNK_BYTES, encode_line
from towline.transports.process import Process, ProcessTransport

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(st.dictionaries(st.text(max_size=4), VALUES))
def test_a_message_in_pieces_is_the_same_message(message: dict[str, Any]) -> None:
    with patch.object(base, "LONG_LIST", 2):
        line = asyncio.run(encode_line(message))
    assert json.loads(line) == message and line.endswith(b"\n") and line.count(b"\n") == 1


async def test_the_loop_goes_on_while_a_long_order_is_put_into_json() -> None:
    files = [{"path": f"dir/{n}", "type": "file", "sha256": "ab" * 32, "mode": "0644"} for n in range(200_000)]
    with loop_goes_on():
        line = await encode_line({"do": "plan", "plan": {"files": files}})
    assert len(line) > 20_000_000


class _Flood:
    """An output that always has a full chunk ready, until it ends."""

    def __init__(self, line: bytes, chunks: int) -> None:
        self._line, self._chunks = line, chunks

    async def read(self, n: int, /) -> bytes:
        self._chunks -= 1
        return b"" if self._chunks < 0 else self._line * (CHUNK_BYTES // len(self._line))


class _Sink:
    def write(self, data: bytes, /) -> None:
        """Takes it."""

    async def drain(self) -> None:
        """At once."""


class _Process(Process):
    def __init__(self, stdout: _Flood) -> None:
        self.stdin, self.stdout, self.stderr = _Sink(), stdout, _Flood(b"", 0)

    async def status(self) -> int | None:
        return 0

    async def close(self) -> None:
        """Nothing to let go of."""

    def broken(self, error: Exception) -> Unreachable:
        return Unreachable(str(error))


class _Flooded(ProcessTransport):
    def __init__(self, flood: _Flood) -> None:
        super().__init__(None)
        self._flood = flood

    async def _exec(self) -> Process:
        return _Process(self._flood)


async def test_the_loop_goes_on_while_events_flood_in(tmp_path: Path) -> None:
    count = 0
    async with _Flooded(_Flood(b'{"kind":"attached"}\n', 5)) as transport:
        await transport.start_or_attach({"do": "deploy"})
        with loop_goes_on():
            try:
                async for _ in transport.follow():
                    count += 1
            except Unreachable:
                pass
    assert count == 5 * (CHUNK_BYTES // 20)
