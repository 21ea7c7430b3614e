"""A proxy that loses answers: it passes a request on, and cuts the client's connection instead of answering."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Literal
from urllib.parse import urlsplit

Loss = Literal["answer", "both"]


class CuttingProxy:
    """Sends each request to the next of its servers, whatever connection it came by, and none to one that is gone.

    `losses` says what happens to the next requests: "answer": the server has answered, and the client does not get it;
    "both": the connections to server and client are cut when the server has been sent the request. Then all goes well.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = [(str(url.hostname), int(url.port or 0)) for url in map(urlsplit, servers)]
        self.losses: list[Loss | None] = []
        self.heads: list[bytes] = []
        self.url = ""
        self._serving: set[asyncio.Task[None]] = set()

    def invocations(self) -> list[str]:
        """The SDK's ids of the requests so far: retries of one call have the same."""
        lines = [line for head in self.heads for line in head.decode("latin-1").splitlines()]
        return [line.partition(":")[2].strip() for line in lines if line.lower().startswith("amz-sdk-invocation-id:")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a client's connection."""
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._pass_on(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def end(self) -> None:
        """Cuts all connections, also those of requests that a server has not answered yet."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False where the answer was lost."""
        request = await _message(reader)
        self.heads.append(request.partition(b"\r\n\r\n")[0])
        loss = self.losses.pop(0) if self.losses else None
        upstream_reader, upstream = await self._connect(len(self.heads))
        try:
            upstream.write(request)
            await upstream.drain()
            if loss == "both":
                return False
            answer = await _message(upstream_reader)
            if loss == "answer":
                return False
            writer.write(answer)
            await writer.drain()
        finally:
            upstream.close()
        return True

    async def _connect(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a server that is there."""
        server = self._servers[number % len(self._servers)]
        try:
            return await asyncio.open_connection(*server)
        except ConnectionRefusedError:
            self._servers = [one for one in self._servers if one != server]
            return await self._connect(number)


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer with its body, whose length is in its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = (line.partition(b":") for line in head.lower().split(b"\r\n")[1:])
    length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def cutting_proxy(*servers: str) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of the servers for the block."""
    proxy = CuttingProxy(servers)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        try:
            yield proxy
        finally:
            await proxy.end()
