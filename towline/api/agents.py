"""The endpoints of towline's agent: sign-in, polls, output, invitations (docs/agents.md, "The protocol").

Everything else goes to the AWS-compatible API. A message is a line of JSON, and then the bytes that it announces.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from towline.agents.agent_file import packaged_agent
from towline.agents.install import install_script
from towline.agents.keys import public_key_of
from towline.agents.messages import MOST_BYTES, Output, Poll
from towline.agents.service import AgentService
from towline.agents.sign_in import Nonces, Signature, check_time
from towline.api.app import ApiApplication, Message, Receive, Scope, Send, headers_of
from towline.api.rate import RateLimit
from towline.api.relay import WANT_PATH, AgentRequest, Relay
from towline.errors import AuthenticationRefused, Conflict, InvalidInput, TemporalUnavailable, TowlineError

PREFIX = "/agent/"
LINE_BYTES = 64 * 1024
REQUESTS_A_SECOND = 50
"""Of one host: it sends at most ten lots of output, and some polls."""
BODY_SECONDS = 30.0

log = logging.getLogger("towline.api.agents")

FILES: Mapping[str, Callable[[], bytes]] = {
    "/agent/towline-agent": packaged_agent,
    "/agent/install.sh": lambda: install_script(packaged_agent()).encode(),
}
"""What hosts install: no secret is in it."""

M = TypeVar("M", bound=BaseModel)
Answer = tuple[Mapping[str, Any], bytes]


class AgentEndpoints:
    """ASGI: what agents call below `/agent/`; all other paths are `others`'."""

    def __init__(
        self, agents: AgentService, relay: Relay, others: ApiApplication, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._agents, self._relay, self._others, self._clock = agents, relay, others, clock
        self._nonces = Nonces()
        self._rate = RateLimit(REQUESTS_A_SECOND)
        self._logged = 0.0
        self.refused = 0
        """Requests of hosts that are unknown, or did not sign as they should."""
        self._signed: Mapping[str, Callable[[AgentRequest], Awaitable[Answer]]] = {
            "/agent/v1/poll": self._poll,
            "/agent/v1/output": self._output,
            "/agent/v1/rotate": self._rotate,
            "/agent/v1/settle": self._settle,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            return await self._others(scope, receive, send)
        if scope["method"] == "GET" and scope["path"] in FILES:
            return await _send_file(send, FILES[scope["path"]]())
        try:
            body = await _body(receive)
            answer = await _unless_gone(self._answer(scope, body), receive)
        except _Gone:
            return None
        await _send(send, *answer)
        return None

    async def _answer(self, scope: Scope, body: bytes) -> tuple[int, Mapping[str, Any], bytes]:
        try:
            return 200, *await self._serve(scope, body)
        except AuthenticationRefused as error:
            self._count_refusal(error, scope)
            return 401, self._told(error), b""
        except Conflict as error:
            log.warning("%s (%s)", error, _address(scope))
            return 409, self._told(error), b""
        except _Throttled as error:
            return 429, self._told(error), b""
        except TemporalUnavailable as error:
            return 503, self._told(error), b""
        except TowlineError as error:
            return 400, self._told(error), b""
        except Exception:
            log.exception("%s failed", scope["path"])
            return 500, {"error": "InternalFailure", "message": "towline's log says why", "time": self._clock()}, b""

    async def _serve(self, scope: Scope, body: bytes) -> Answer:
        path = scope["path"]
        if scope["method"] == "POST" and path == "/agent/v1/enroll":
            return await self._enroll(body)
        if scope["method"] == "POST" and path == WANT_PATH:
            return await self._want(body)
        handler = self._signed.get(path)
        if scope["method"] != "POST" or handler is None:
            raise InvalidInput(f"there is no {scope['method']} {path}", code="UnknownPath")
        headers = headers_of(scope)
        signed = Signature.of(headers)
        now = self._clock()
        check_time(signed, now)
        is_busy = self._agents.exchange.is_busy(signed.name)
        key = await self._agents.keys.public_key(signed.name, signed.key_id, is_busy=is_busy)
        signed.check(key, "POST", path, body)
        self._nonces.check(signed, now)
        if not self._rate.allows(signed.name):
            raise _Throttled(f"{signed.name} sends more than {REQUESTS_A_SECOND} requests a second")
        return await handler(AgentRequest(signed.name, path, headers, body, _address(scope)))

    async def _poll(self, request: AgentRequest) -> Answer:
        poll, _ = _parsed(Poll, request.body)
        return await self._relay.poll(request, poll)

    async def _output(self, request: AgentRequest) -> Answer:
        output, data = _parsed(Output, request.body)
        return await self._relay.output(request, output, data)

    async def _rotate(self, request: AgentRequest) -> Answer:
        """The host will sign with another key, too."""
        given, _ = _line_and_rest(request.body)
        await self._agents.keys.rotate(request.name, request.key_id, public_key_of(str(given.get("public_key", ""))))
        return {"time": self._clock()}, b""

    async def _settle(self, request: AgentRequest) -> Answer:
        """The host signs with this key alone from now on."""
        await self._agents.keys.settle(request.name, request.key_id)
        log.info("%s has the key %s now", request.name, request.key_id)
        return {"time": self._clock()}, b""

    async def _want(self, body: bytes) -> Answer:
        given, _ = _line_and_rest(body)
        await self._relay.is_wanted(str(given.get("name", ""))[:100], str(given.get("address", "")))
        return {"time": self._clock()}, b""

    async def _enroll(self, body: bytes) -> Answer:
        """Trades an invitation for a key: the one request that is not signed."""
        given, _ = _line_and_rest(body)
        name, token = str(given.get("name", "")), str(given.get("token", ""))
        key = public_key_of(str(given.get("public_key", "")))
        record = await self._agents.keys.enroll(name, token, key)
        log.info("%s has traded its invitation for the key %s", name, record.keys[0].key_id)
        return {"key_id": record.keys[0].key_id, "time": self._clock()}, b""

    def _count_refusal(self, error: AuthenticationRefused, scope: Scope) -> None:
        """Counts it, and logs one a second: strangers must not fill the disk."""
        self.refused += 1
        if self._clock() - self._logged >= 1.0:
            self._logged = self._clock()
            log.warning("refused: %s (%s; %d so far)", error, _address(scope), self.refused)

    def _told(self, error: TowlineError) -> dict[str, Any]:
        return {"error": error.code, "message": error.message, "hint": error.hint, "time": self._clock()}


class _Throttled(TowlineError):
    """A host sends too much."""

    code = "Throttled"


class _Gone(Exception):
    """The client has gone."""


async def _unless_gone(answer: Awaitable[tuple[int, Mapping[str, Any], bytes]], receive: Receive) -> Any:
    """The answer; raises _Gone where the client goes first."""
    working, going = asyncio.ensure_future(answer), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _Gone
        return working.result()
    finally:
        for task in (working, going):
            task.cancel()
        await asyncio.gather(working, going, return_exceptions=True)


async def _body(receive: Receive) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                data += message.get("body", b"")
                if len(data) > LINE_BYTES + MOST_BYTES:
                    raise _Gone
                if not message.get("more_body"):
                    return bytes(data)
    except TimeoutError:
        raise _Gone from None


def _parsed(model: type[M], body: bytes) -> tuple[M, bytes]:
    line, rest = _line_and_rest(body)
    try:
        return model.model_validate(line), rest
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"][:4])
        raise InvalidInput(f"{where}: {found['msg']}", code="InvalidMessage") from None


def _line_and_rest(body: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, rest = body.partition(b"\n")
    try:
        if len(line) > LINE_BYTES:
            raise ValueError
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidInput("a message begins with a line of JSON", code="InvalidMessage")
    return value, rest


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _send(send: Send, status: int, line: Mapping[str, Any], data: bytes) -> None:
    body = json.dumps(line, separators=(",", ":")).encode() + b"\n" + data
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_file(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
