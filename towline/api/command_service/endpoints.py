"""ASGI: what AWS's agents call. All other requests are the API's.

Every signed call is answered 200 if at all possible: a completion that is refused turns a success on the host into a
failure, and a refused specification or acknowledgement fails the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from towline.api.app import Receive, Response, Scope, Send, answer_headers, headers_of, query_of, read_body, send_answer
from towline.api.command_service.downloads import Downloads, is_download
from towline.api.command_service.envelope import SpecificationSigner
from towline.api.command_service.hosts import SignIn, check_identifier
from towline.api.command_service.relay import WANT_PATH, CommandRelay, is_relayed
from towline.api.command_service.wire import (
    Acknowledgement,
    Completion,
    Poll,
    Specification,
    Update,
    operation_of,
    read,
)
from towline.api.errors import ApiError
from towline.api.protocols import JSON
from towline.api.sigv4 import Request
from towline.codedeploy_agents.access_keys import KnownHost
from towline.codedeploy_agents.runs import Elsewhere, Runs
from towline.errors import TowlineError
from towline.model.codedeploy_agent.diagnostics import is_noop, meaning_of, read_diagnostics

log = logging.getLogger("towline.api.command_service")

Output = Mapping[str, Any]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class CommandEndpoints:
    """Answers the five operations and the downloads; `others` gets every other request."""

    def __init__(self, runs: Runs, sign_in: SignIn, others: Application, relay: CommandRelay | None = None) -> None:
        """`relay`: where there are several API servers."""
        self._runs, self._sign_in, self._others, self._relay = runs, sign_in, others, relay
        self._signer = SpecificationSigner()
        self._downloads = Downloads(runs, sign_in, relay)
        self._operations: Mapping[str, Callable[[KnownHost, Any, Scope], Awaitable[Output]]] = {
            "GetDeploymentSpecification": self._specification,
            "PutHostCommandAcknowledgement": self._acknowledge,
            "PutHostCommandComplete": self._complete,
            "PostHostCommandUpdate": self._update,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            return await self._others(scope, receive, send)
        headers = headers_of(scope)
        if is_download(scope["method"], headers):
            return await self._downloads(scope, receive, send)
        if self._relay and scope["path"] == WANT_PATH:
            return await self._take_want(self._relay, headers, receive, send)
        if scope["method"] != "POST" or not operation_of(headers.get("x-amz-target", "")):
            return await self._others(scope, receive, send)
        answer = await self._answer(scope, headers, receive)
        if answer is not None:
            await send_answer(send, answer)
        return None

    async def _take_want(self, relay: CommandRelay, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        with contextlib.suppress(ApiError):
            await relay.take_want(await read_body(headers, receive) or b"")
        await send_answer(send, Response(200, {}, b""))

    async def _answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Response | None:
        """The answer; None where the agent has gone."""
        request_id, operation = str(uuid.uuid4()), operation_of(headers["x-amz-target"])
        try:
            body = await read_body(headers, receive)
            if body is None:
                return None
            request = Request("POST", scope["raw_path"].decode("latin-1"), query_of(scope), headers, body)
            host = await self._sign_in.host(request)
            try:
                output = await self._call(operation, host, JSON.decode(body), scope, receive)
            except Elsewhere:
                assert self._relay
                return await self._relay.pass_on(host.name, request)
            return None if output is None else Response(200, answer_headers(JSON, request_id), JSON.encode(output))
        except ApiError as error:
            log.warning("%s %s from %s: %s: %s", request_id, operation, _address(scope), error.code, error.message)
            return _error(error, request_id)
        except TowlineError as error:  # a fault of ours, which the agent's SDK answers with another try
            log.warning("%s %s: %s", request_id, operation, error)
            return _error(ApiError("ServerException", error.message, 503), request_id)
        except Exception:
            log.exception("%s %s failed", request_id, operation)
            text = f"The request {request_id} failed; towline's log says why."
            return _error(ApiError("ServerException", text, 500), request_id)

    async def _call(self, operation: str, host: KnownHost, value: Any, scope: Scope, receive: Receive) -> Output | None:
        if operation == "PollHostCommand":
            return await self._poll(host, value, scope, receive)
        handler = self._operations.get(operation)
        if handler is None:
            raise ApiError("UnknownOperationException", f"There is no operation {operation[:64]}.")
        return await handler(host, value, scope)

    async def _poll(self, host: KnownHost, value: Any, scope: Scope, receive: Receive) -> Output | None:
        identifier = read(Poll, value).host_identifier
        check_identifier(host, identifier)
        async with _Presence(receive, lambda: self._runs.tell(host.name)) as presence:
            found = await self._runs.poll(host.name, presence.is_gone, is_relayed=_is_relayed(scope))
            if presence.is_gone():
                return None  # an offer that was made for it is made again
        if found is None:
            return {}
        log.info("%s is given %s of %s", host.name, found.event, found.execution_id)
        return {
            "HostCommand": {
                "HostCommandIdentifier": found.identifier,
                "HostIdentifier": identifier,
                "DeploymentExecutionId": found.execution_id,
                "CommandName": found.event,
                "Nonce": 1,
            }
        }

    async def _specification(self, host: KnownHost, value: Any, scope: Scope) -> Output:
        given = read(Specification, value)
        check_identifier(host, given.host_identifier)
        found = await self._runs.specification(host.name, given.deployment_execution_id, is_relayed=_is_relayed(scope))
        if found is None:
            raise ApiError("ClientException", f"{host.name} has no deployment {given.deployment_execution_id[:160]}.")
        envelope = await asyncio.to_thread(self._signer.envelope, found)
        return {"DeploymentSystem": "CodeDeploy", "DeploymentSpecification": {"GenericEnvelope": envelope}}

    async def _acknowledge(self, host: KnownHost, value: Any, scope: Scope) -> Output:
        given = read(Acknowledgement, value)
        noop = is_noop(given.diagnostics.payload if given.diagnostics else None)
        identifier, passed = given.host_command_identifier, _is_relayed(scope)
        status = await self._runs.acknowledge(host.name, identifier, noop, is_relayed=passed)
        return {"CommandStatus": status.value}

    async def _complete(self, host: KnownHost, value: Any, scope: Scope) -> Output:
        given = read(Completion, value)
        diagnostics = read_diagnostics(given.diagnostics.payload if given.diagnostics else None)
        if given.command_status in ("Succeeded", "Failed"):
            meaning = meaning_of(given.command_status == "Succeeded", diagnostics, headers_of(scope).get("host", ""))
            identifier, passed = given.host_command_identifier, _is_relayed(scope)
            if not await self._runs.complete(host.name, identifier, meaning, diagnostics, is_relayed=passed):
                log.info("%s completes %s, which is not open", host.name, identifier[:160])
        return {}

    async def _update(self, host: KnownHost, value: Any, scope: Scope) -> Output:
        read(Update, value)
        return {"CommandStatus": "InProgress"}


class _Presence:
    """Whether the client of a request is still there; `on_leave` is called when it goes."""

    def __init__(self, receive: Receive, on_leave: Callable[[], None]) -> None:
        self._receive, self._on_leave = receive, on_leave
        self._gone = False

    def is_gone(self) -> bool:
        """Whether it has gone."""
        return self._gone

    async def __aenter__(self) -> _Presence:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._on_leave()


def _is_relayed(scope: Scope) -> bool:
    return is_relayed(headers_of(scope))


def _error(error: ApiError, request_id: str) -> Response:
    return Response(error.status, answer_headers(JSON, request_id, error), JSON.encode_error(error))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "-"
