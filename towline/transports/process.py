"""The common part of ssh and local: a transport over a process with three byte streams."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from towline.aside import aside
from towline.errors import NotUnderstood, Unreachable
from towline.model.host.events import HostEvent, Need
from towline.transports.base import (
    ANSWERS,
    CHUNK_BYTES,
    Order,
    Reply,
    Transport,
    body_chunks,
    encode_line,
    ended_early,
    is_last,
)
from towline.transports.bootstrap import Runner
from towline.transports.event_lines import ANSWER_LIMIT_BYTES, EVENT_LIMIT_BYTES, LONG_BYTES, EventLines

STDERR_BYTES = 4096
LINES_AT_ONCE = 64
"""Number of lines to process before yielding to the event loop."""


class Writer(Protocol):
    """The part of a stream writer common to asyncio and asyncssh."""

    def write(self, data: bytes, /) -> None:
        """Queues bytes."""

    async def drain(self) -> None:
        """Waits until the write buffer has drained."""


class Reader(Protocol):
    """The part of a stream reader common to asyncio and asyncssh."""

    async def read(self, n: int, /) -> bytes:
        """Up to n bytes; empty at the end."""


class Process(abc.ABC):
    """A started process: its streams, its exit status, and the translation of its errors."""

    stdin: Writer
    stdout: Reader
    stderr: Reader

    @abc.abstractmethod
    async def status(self) -> int | None:
        """Waits for the exit status; None if the connection broke or a signal ended the process."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Closes the streams; never raises."""

    @abc.abstractmethod
    def broken(self, error: Exception) -> Unreachable:
        """Translates an error of the streams."""


class ProcessTransport(Transport):
    """Speaks the host protocol over the streams of a process, which subclasses start."""

    def __init__(self, runner: Runner | None) -> None:
        """`runner`: sent to a host that does not have it; None if none is needed."""
        self._runner = runner
        self._runner_was_sent = False
        self._process: Process | None = None
        self._order: Order = {}
        self.has_order = False
        self._stderr = b""
        self._stderr_task: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()

    @abc.abstractmethod
    async def _exec(self) -> Process:
        """Connects to the host and starts the runner's connected end; raises only towline's errors."""

    async def start_or_attach(self, order: Order) -> None:
        """See Transport."""
        self._order = order
        self._process = await self._exec()
        self._stderr_task = asyncio.create_task(self._keep_stderr(self._process))
        self.has_order = True
        # An error here is left to `follow`: a process that ended at once (no sudo) says why on its other streams.
        with contextlib.suppress(Unreachable):
            await self.send(order)

    async def follow(self) -> AsyncGenerator[HostEvent, None]:
        """See Transport."""
        process, spoke = self._started(), False
        lines = EventLines(ANSWER_LIMIT_BYTES if self._order["do"] in ANSWERS else EVENT_LIMIT_BYTES)
        async with contextlib.aclosing(self._events(process, lines)) as events:
            async for event in events:
                if isinstance(event, Need) and event.what == "runner":
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

    async def _events(self, process: Process, lines: EventLines) -> AsyncGenerator[HostEvent, None]:
        """The output of the process as events; does not block the event loop, however much arrives at once."""
        while data := await self._read(process):
            for number, line in enumerate(lines.feed(data), start=1):
                event = await aside(lines.read, line) if len(line) > LONG_BYTES else lines.read(line)
                if event is not None:
                    yield event
                if number % LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def send(self, reply: Reply, body: Path | bytes | None = None) -> None:
        """See Transport. Raises Unreachable where the line is broken."""
        process, line = self._started(), await encode_line(reply)
        async with self._sending:  # a halt during the upload of an archive must not end up inside it
            try:
                process.stdin.write(line)
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
        """Sends the runner, and the order again: the bootstrap has consumed the first one."""
        if self._runner is None or self._runner_was_sent:
            raise NotUnderstood("the host asks for towline's runner, and has it")
        self._runner_was_sent = True
        source = self._runner.source
        await self.send({"reply": "runner", "size": len(source)}, source)
        await self.send(self._order)

    async def _keep_stderr(self, process: Process) -> None:
        """Reads standard error continuously, so that it never blocks; the end of it explains a failed start."""
        with contextlib.suppress(Exception):
            while data := await process.stderr.read(STDERR_BYTES):
                self._stderr = (self._stderr + data)[-STDERR_BYTES:]
