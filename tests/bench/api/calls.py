"""Signed calls over connections that stay open, at a rate or as fast as they are answered, and how long they took."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

MOST_OPEN = 200


@dataclass(frozen=True)
class Answer:
    """An answer; moments are of `time.time()`."""

    status: int
    output: Mapping[str, Any]
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """From the request to the whole answer."""
        return self.ended - self.began


class Caller:
    """Calls operations with AWS JSON 1.1, as SDKs do. Signing is not part of what is measured."""

    def __init__(self, url: str, access_key: str, secret: str, connections: int) -> None:
        self._url, self._signer = url, SigV4Auth(Credentials(access_key, secret), "codedeploy", "eu-west-1")
        self._free: asyncio.Queue[_Connection] = asyncio.Queue()
        for _ in range(connections):
            self._free.put_nowait(_Connection(url))

    async def call(self, operation: str, members: Mapping[str, Any], invocation: str = "") -> Answer:
        """Calls once; what the server refuses is an answer too."""
        request = self._signed(operation, json.dumps(members).encode(), invocation)
        began = time.time()  # a wait for a free connection counts: it is the server's doing
        connection = await self._free.get()
        try:
            status, body = await connection.send(request)
        finally:
            self._free.put_nowait(connection)
        return Answer(status, json.loads(body or b"{}"), began, time.time())

    def _signed(self, operation: str, body: bytes, invocation: str) -> bytes:
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"CodeDeploy_20141006.{operation}",
            "amz-sdk-invocation-id": invocation or str(uuid.uuid4()),
        }
        request = AWSRequest("POST", f"{self._url}/", headers=headers, data=body)
        self._signer.add_auth(request)
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = ["POST / HTTP/1.1", f"Host: {urlsplit(self._url).netloc}", f"Content-Length: {len(body)}", *lines]
        return "\r\n".join((*head, "", "")).encode() + body


class _Connection:
    """HTTP/1.1, one request after the other."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.hostname, self._address.port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        body = await reader.readexactly(int(length.partition(":")[2]))
        if "connection: close" in head.lower():
            writer.close()
            self._streams = None
        return int(head.split(" ", 2)[1]), body


@dataclass
class Load:
    """What a load came to."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        took = sorted(answer.seconds for answer in self.answers)
        failed = [answer for answer in self.answers if answer.status != 200]
        p50, p99 = (took[min(len(took) - 1, int(len(took) * percent / 100))] * 1000 for percent in (50, 99))
        rate = len(took) / self.seconds
        text = f"{len(took)} calls, {rate:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {took[-1] * 1000:.0f} ms"
        return text + (f"; {len(failed)} refused: {dict(failed[0].output)}" if failed else "")


async def at_a_rate(
    per_second: float, is_over: Callable[[int, float], bool], call: Callable[[int], Awaitable[Answer]]
) -> Load:
    """Begins so many calls a second, whether or not the ones before are answered, until it is over.

    `is_over` is given how many began, and for how many seconds; `call` is given the call's number. Where `MOST_OPEN`
    are not answered yet it waits: the rate that was reached tells it.
    """
    load, start, number = Load(), time.time(), 0
    may_begin = asyncio.Semaphore(MOST_OPEN)

    async def one(number: int) -> None:
        try:
            load.answers.append(await call(number))
        finally:
            may_begin.release()

    async with asyncio.TaskGroup() as calls:
        while not is_over(number, time.time() - start):
            await asyncio.sleep(max(0.0, start + number / per_second - time.time()))
            await may_begin.acquire()
            calls.create_task(one(number))
            number += 1
    load.seconds = time.time() - start
    return load


async def one_by_one(calls: Iterable[Callable[[], Awaitable[Answer]]], clients: int) -> Load:
    """So many clients take the next call as soon as their last one is answered."""
    load, waiting, start = Load(), iter(calls), time.time()

    async def one_client() -> None:
        for call in waiting:
            load.answers.append(await call())

    await asyncio.gather(*(one_client() for _ in range(clients)))
    load.seconds = time.time() - start
    return load
