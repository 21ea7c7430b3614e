"""The ASGI application: from an HTTP request to an operation and back.

Order: size and form of the request, protocol and operation, signature, input, permission, operation. What is refused is
refused as AWS refuses it; what fails unexpectedly is logged with its request id and answered without a word of why.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from towline import errors
from towline.api.errors import ApiError, throttled, unknown_operation
from towline.api.protocols import JSON, WireProtocol, target_of
from towline.api.rate import RateLimit
from towline.api.service_model import Operation, operations
from towline.api.sigv4 import Caller, Request, Verifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 30.0
"""How long a body may take to arrive: a client that stops in the middle would hold its connection for ever."""
ONCE = "/once/"

log = logging.getLogger("towline.api")


@dataclass(frozen=True)
class Call:
    """One call of an operation: its input by the model's names, and who calls.

    `once` is the id that the caller gave the request in the endpoint's path.
    """

    operation: str
    input: Mapping[str, Any]
    caller: Caller
    request_id: str
    invocation_id: str = ""
    once: str = ""
    body: bytes = field(default=b"", repr=False)


class Service(Protocol):
    """What answers calls."""

    async def call(self, call: Call) -> Mapping[str, Any]:
        """The output by the model's names. Raises ApiError, TowlineError."""

    async def is_ready(self) -> str:
        """Empty, or why calls cannot be answered now."""


@dataclass(frozen=True)
class Response:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Attempt:
    """What is known of a request so far."""

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.perf_counter)
    protocol: WireProtocol = JSON
    operation: Operation | None = None
    caller: Caller | None = None
    input: Mapping[str, Any] = field(default_factory=dict)


class ApiApplication:
    """Serves the API. `verifier` None: no signatures are asked for, and every caller is `anonymous`.

    `on_end` is told of each request how it ended, with the code of its error, or none.
    """

    def __init__(
        self,
        service: Service,
        verifier: Verifier | None,
        anonymous: Caller,
        *,
        rate: RateLimit | None = None,
        on_end: Callable[[Attempt, str], None] | None = None,
    ) -> None:
        self._service, self._verifier, self._anonymous = service, verifier, anonymous
        self._rate, self._on_end = rate, on_end
        self._operations = operations()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        assert scope["type"] == "http", scope["type"]
        answer = await self._answer(scope, receive)
        if answer is not None:  # else the client has gone
            await send_answer(send, answer)
        return None

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        if scope["method"] == "GET":
            return await self._answer_probe(scope["path"])
        attempt, code = Attempt(), ""
        try:
            output = await self._try(attempt, scope, receive)
            if output is None:
                return None
            return Response(200, answer_headers(attempt.protocol, attempt.request_id), attempt.protocol.encode(output))
        except ApiError as error:
            code = error.code
            log.info("%s %s: %s: %s", attempt.request_id, _name(attempt), code, error.message)
            return _error_answer(error, attempt.protocol, attempt.request_id)
        except Exception:
            code = "InternalFailure"
            seconds = time.perf_counter() - attempt.started
            log.exception("%s %s failed after %.3f s", attempt.request_id, _name(attempt), seconds)
            text = f"The request {attempt.request_id} failed; towline's log says why."
            return _error_answer(ApiError(code, text, 500), attempt.protocol, attempt.request_id)
        finally:
            if self._on_end:
                self._on_end(attempt, code)

    async def _try(self, attempt: Attempt, scope: Scope, receive: Receive) -> dict[str, Any] | None:
        """The output, in the form of its protocol; None where the client has gone."""
        headers = headers_of(scope)
        body = await read_body(headers, receive)
        if body is None:
            return None
        raw_path = scope["raw_path"].decode("latin-1")
        once, path = _once(raw_path)
        target = target_of(path, headers)
        attempt.protocol, attempt.operation = target.protocol, self._operations.get(target.operation)
        attempt.caller = self._caller(Request(scope["method"], raw_path, query_of(scope), headers, body))
        if self._rate and not self._rate.allows(attempt.caller.key.key_id):
            raise throttled()
        if attempt.operation is None:
            raise unknown_operation(target.operation)
        attempt.input = attempt.operation.read(attempt.protocol.decode(body))
        invocation = headers.get("amz-sdk-invocation-id", "")[:128]
        name = attempt.operation.name
        call = Call(name, attempt.input, attempt.caller, attempt.request_id, invocation, once, body)
        return await self._call(attempt.operation, call)

    def _caller(self, request: Request) -> Caller:
        return self._verifier.verify(request) if self._verifier else self._anonymous

    async def _call(self, operation: Operation, call: Call) -> dict[str, Any]:
        try:
            return operation.write(await self._service.call(call))
        except errors.TemporalUnavailable as error:
            raise ApiError("ServiceUnavailable", f"{error}", 503) from error
        except errors.TowlineError as error:
            raise ApiError("InvalidInputException", str(error)) from error

    async def _answer_probe(self, path: str) -> Response:
        if path == "/health":
            return _text(200, "ok")
        if path == "/ready":
            why = await self._service.is_ready()
            return _text(503, why) if why else _text(200, "ready")
        return _text(404, "CodeDeploy's API is called by POST.")


async def send_answer(send: Send, answer: Response) -> None:
    """Sends a whole answer."""
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _name(attempt: Attempt) -> str:
    return attempt.operation.name if attempt.operation else "-"


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; of those that stand twice the values are joined, as signers do it."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        text = value.decode("latin-1").strip()
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


async def read_body(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """The whole body; None where the client went. Raises ApiError for one that is too large, late or encoded."""
    if headers.get("content-encoding", "identity") != "identity":
        raise ApiError("SerializationException", "Content-Encoding is not supported: no operation asks for it.", 415)
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                data += message.get("body", b"")
                if len(data) > MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body"):
                    return bytes(data)
    except TimeoutError:
        raise ApiError(
            "RequestTimeoutException", f"The body did not arrive within {BODY_SECONDS:.0f} s.", 408
        ) from None


def _too_large() -> ApiError:
    return ApiError("RequestEntityTooLargeException", f"A request has at most {MAX_BODY_BYTES} bytes.", 413)


def query_of(scope: Scope) -> str:
    """The query as it was sent, without `?`."""
    query: bytes = scope["query_string"]
    return query.decode("latin-1")


def _once(path: str) -> tuple[str, str]:
    """The id of a request in front of the path, and the rest.

    >>> _once("/once/BUILD-17/"), _once("/")
    (('BUILD-17', '/'), ('', '/'))
    """
    if not path.startswith(ONCE):
        return "", path
    name, _, rest = path.removeprefix(ONCE).partition("/")
    return name, f"/{rest}"


def answer_headers(protocol: WireProtocol, request_id: str, error: ApiError | None = None) -> dict[str, str]:
    """The headers of an answer in this protocol."""
    return {"content-type": protocol.content_type, "x-amzn-requestid": request_id, **protocol.headers(error)}


def _error_answer(error: ApiError, protocol: WireProtocol, request_id: str) -> Response:
    headers = answer_headers(protocol, request_id, error)
    if error.status == 408:  # nothing more is expected of this client
        headers["connection"] = "close"
    return Response(error.status, headers, protocol.encode_error(error))


def _text(status: int, text: str) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, f"{text}\n".encode())


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
