"""What ssh and local share: a transport whose runner is a process with three byte streams."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from towline.errors import Unreachable
from towline.transports.base import (
    CHUNK_BYTES,
    Event,
    EventLines,
    Order,
    Transport,
    body_chunks,
    encode_line,
    ended_early,
    is_last,
)
from towline.transports.bootstrap import Runner

STDERR_BYTES = 4096


class Writer(Protocol):
    """The part of a stream writer that asyncio and asyncssh have in common."""

    def write(self, data: bytes, /) -> None:
        """Queues bytes."""

    async def drain(self) -> None:
        """Waits until the other side has taken enough."""


class Reader(Protocol):
    """The part of a stream reader that asyncio and asyncssh have in common."""

    async def read(self, n: int, /) -> bytes:
        """Up to n bytes; empty at the end."""


class Process(abc.ABC):
    """A started process: its streams, its end, and what its library's errors mean."""

    stdin: Writer
    stdout: Reader
    stderr: Reader

    @abc.abstractmethod
    async def status(self) -> int | None:
        """Waits for the end: the exit status, None where the line broke or a signal ended it."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Lets go of the streams; never raises."""

    @abc.abstractmethod
    def broken(self, error: Exception) -> Unreachable:
        """What an error of the streams is in towline's words."""


class ProcessTransport(Transport):
    """Speaks the host protocol over a process's streams; subclasses say how one is started."""

    def __init__(self, runner: Runner | None) -> None:
        """`runner`: what a host gets that does not have it; None where it needs none."""
        self._runner = runner
        self._process: Process | None = None
        self._order: Order = {}
        self._stderr = b""
        self._stderr_task: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()

    @abc.abstractmethod
    async def _exec(self) -> Process:
        """Reaches the host and starts the runner's connected end; raises towline's errors only."""

    async def start_or_attach(self, order: Order) -> None:
        """See Transport."""
        self._order = order
        self._process = await self._exec()
        self._stderr_task = asyncio.create_task(self._keep_stderr(self._process))
        # An error here is left to `follow`: a process that ended at once (no sudo) has said why on its other streams.
        with contextlib.suppress(Unreachable):
            await self.send(order)

    async def follow(self) -> AsyncGenerator[Event, None]:
        """See Transport."""
        process, lines, spoke = self._started(), EventLines(), False
        while data := await self._read(process):
            for event in lines.feed(data):
                if event["kind"] == "need" and event.get("what") == "runner":
                    await self._send_runner()
                    continue
                spoke = True
                yield event
                if is_last(event, self._order["do"]):
                    return
        status = await process.status()
        if self._stderr_task:
            await self._stderr_task
        raise ended_early(status, self._stderr.decode(errors="replace"), lines.noise, spoke=spoke)

    async def send(self, reply: Event, body: Path | bytes | None = None) -> None:
        """See Transport. Raises Unreachable where the line is broken."""
        process = self._started()
        async with self._sending:  # a halt that comes while an archive is on its way must not end up inside it
            try:
                process.stdin.write(encode_line(reply))
                await process.stdin.drain()
                if body is not None:
                    async for chunk in body_chunks(body):
                        process.stdin.write(chunk)
                        await process.stdin.drain()
            except Exception as error:
                raise process.broken(error) from error

    async def close(self) -> None:
        """See Transport."""
        if self._stderr_task:
            self._stderr_task.cancel()
            await asyncio.gather(self._stderr_task, return_exceptions=True)
            self._stderr_task = None
        if self._process:
            await self._process.close()

    def _started(self) -> Process:
        assert self._process, "start_or_attach comes first"
        return self._process

    async def _read(self, process: Process) -> bytes:
        try:
            return await process.stdout.read(CHUNK_BYTES)
        except Exception as error:
            raise process.broken(error) from error

    async def _send_runner(self) -> None:
        """Sends the runner, and the order once more: the bootstrap has read over the first one."""
        assert self._runner, "only a bootstrap asks for the runner"
        source = self._runner.source
        await self.send({"reply": "runner", "size": len(source)}, source)
        await self.send(self._order)

    async def _keep_stderr(self, process: Process) -> None:
        """Reads standard error all the time, so that it never fills up; the last of it explains a failed start."""
        with contextlib.suppress(Exception):
            while data := await process.stderr.read(STDERR_BYTES):
                self._stderr = (self._stderr + data)[-STDERR_BYTES:]
