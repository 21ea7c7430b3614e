"""A client that calls as AWS's agent does, of an ASGI application or over HTTP; and hosts that it works for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from towline.api.access_keys import AccessKey
from towline.api.app import Scope
from towline.api.command_service.endpoints import Application as Asgi
from towline.api.command_service.keys import HostKeys
from towline.codedeploy_agents.access_keys import KnownHost
from towline.codedeploy_agents.runs import LiveRun
from towline.model.codedeploy_agent.commands import HostRun, new_run
from towline.model.codedeploy_agent.specification import BundleObject

KEYS = HostKeys(b"a key of 32 bytes, for tests only")
TARGET = "CodeDeployCommandService_v20141006"
ENDPOINT = "codedeploy-commands.test:8443"


@dataclass
class KnownHosts:
    """The hosts that a catalogue would have, each with the generation of its key."""

    hosts: dict[str, tuple[KnownHost, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, *names: str) -> KnownHosts:
        return cls({name: (KnownHost(name), 1) for name in names})

    async def host(self, name: str, generation: int) -> KnownHost | None:
        host, good = self.hosts.get(name, (None, 0))
        return host if generation == good else None


@dataclass(frozen=True)
class Reply:
    """A status, headers and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


Sender = Callable[[AWSRequest, bytes], Awaitable[Reply]]


@dataclass
class WireAgent:
    """One host's agent: signs with its key, and calls one operation at a time."""

    send: Sender
    name: str
    identifier: str = ""
    key: AccessKey | None = None
    service: str = "codedeploy-commands"
    target: str = TARGET
    specifications: dict[str, Any] = field(default_factory=dict)

    async def call(self, operation: str, body: dict[str, Any], **more: str) -> Reply:
        """Calls an operation; `more`: further headers that are signed."""
        data = json.dumps(body).encode()
        headers = {
            "Host": ENDPOINT,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{self.target}.{operation}",
            "X-Amz-Codedeploy-Agent-Version": "OFFICIAL_1.8.1-PLACEHOLDER",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        request = AWSRequest("POST", f"https://{ENDPOINT}/", headers=headers, data=data)
        SigV4Auth(self._credentials, self.service, "us-east-1").add_auth(request)
        return await self.send(request, data)

    async def poll(self) -> Any:
        return (await self.call("PollHostCommand", {"HostIdentifier": self.host})).json

    async def specification(self, execution_id: str) -> Reply:
        """The answer; the specification in it is kept in `specifications`, unchecked, as agents 1.x do."""
        body = {"DeploymentExecutionId": execution_id, "HostIdentifier": self.host}
        reply = await self.call("GetDeploymentSpecification", body)
        if reply.status == 200:
            payload = reply.json["DeploymentSpecification"]["GenericEnvelope"]["Payload"]
            self.specifications[execution_id] = content_of(payload)
        return reply

    async def acknowledge(self, identifier: str, *, noop: bool = False) -> Any:
        return (await self.acknowledge_reply(identifier, noop)).json

    async def acknowledge_reply(self, identifier: str, noop: bool) -> Reply:
        diagnostics = {"Format": "JSON", "Payload": json.dumps({"IsCommandNoop": noop})}
        body = {"HostCommandIdentifier": identifier, "Diagnostics": diagnostics}
        return await self.call("PutHostCommandAcknowledgement", body)

    async def complete_with(self, identifier: str, failure: Mapping[str, Any] | None) -> Reply:
        return await (self.complete(identifier, "Failed", **failure) if failure else self.complete(identifier))

    async def complete(self, identifier: str, status: str = "Succeeded", **diagnostics: Any) -> Reply:
        payload = json.dumps({"error_code": 0, "script_name": "", "message": "Succeeded: ", "log": "", **diagnostics})
        body = {
            "HostCommandIdentifier": identifier,
            "CommandStatus": status,
            "Diagnostics": {"Format": "JSON", "Payload": payload},
        }
        return await self.call("PutHostCommandComplete", body)

    async def download(self, host: str, path: str, query: str = "") -> Reply:
        url = f"https://{host}{path}" + (f"?{query}" if query else "")
        request = AWSRequest("GET", url, headers={"Host": host})
        S3SigV4Auth(self._credentials, "s3", "us-east-1").add_auth(request)
        return await self.send(request, b"")

    @property
    def host(self) -> str:
        return self.identifier or f"arn:aws:iam::000000000000:user/{self.name}"

    @property
    def _credentials(self) -> Credentials:
        key = self.key or KEYS.key(self.name, 1)
        return Credentials(key.key_id, key.secret)


def to_application(application: Asgi) -> Sender:
    """Sends to an application in this process."""

    async def send(request: AWSRequest, data: bytes) -> Reply:
        return await asgi_send(application, request, data)

    return send


def over_http(url: str) -> Sender:
    """Sends to a server, whatever the request's own host is."""
    http = urllib3.PoolManager(retries=False, maxsize=64)

    async def send(request: AWSRequest, data: bytes) -> Reply:
        path = str(request.prepare().url).partition("://")[2].partition("/")[2]
        address, headers = f"{url}/{path}", dict(request.headers.items())
        answer = await asyncio.to_thread(http.request, str(request.method), address, body=data or None, headers=headers)
        return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    return send


async def asgi_send(application: Asgi, request: AWSRequest, data: bytes) -> Reply:
    """Sends a signed request; its client stays until it has an answer."""
    url = request.prepare().url
    path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
    scope: Scope = {
        "type": "http",
        "method": request.method,
        "path": f"/{path}",
        "raw_path": f"/{path}".encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), str(value).encode()) for name, value in request.headers.items()],
        "client": ("127.0.0.1", 40000),
    }
    return await asgi_call(application, scope, data)


async def asgi_call(application: Asgi, scope: Scope, data: bytes) -> Reply:
    """One request to an application whose client waits for the answer."""
    parts: list[dict[str, Any]] = [{"type": "http.request", "body": data, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def sending(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, sending)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:]))


def content_of(pem: str) -> Any:
    """The JSON object in a PKCS7 envelope whose content is attached; nothing is checked."""
    data = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-")))
    return json.JSONDecoder().raw_decode(data[data.index(b'{"') :].decode("utf-8", "replace"))[0]


@dataclass
class SavedRuns:
    """What runs were saved, last one last."""

    saved: list[HostRun] = field(default_factory=list)

    async def save(self, run: HostRun) -> None:
        self.saved.append(run)

    def states(self) -> list[str]:
        """The states that the first command was saved in."""
        return [run.commands[0].state.value for run in self.saved]


def live_run(
    host: str,
    events: Sequence[str],
    saves: SavedRuns,
    *,
    key: str = "d-1/run",
    now: float = 0.0,
    bundle: BundleObject | None = None,
    content: Path | bytes = b"",
) -> LiveRun:
    """A run of these events on a host."""

    async def archive() -> Path | bytes:
        return content

    return LiveRun(
        host,
        new_run(key, events, now),
        {"DeploymentId": key.partition("/")[0]},
        saves.save,
        bundle=bundle,
        archive=archive,
    )


@dataclass
class PlayedHost:
    """A host with AWS's agent: it polls, downloads what it is told to, and ends each event as `ends` says.

    `ends`: by event, the diagnostics of a failure. `ran`: the events that it executed, with the deployment's id;
    `bundles`: the names of the files in each bundle that it got. An event of `holds` waits until it is set.
    """

    agent: WireAgent
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    noops: tuple[str, ...] = ("ApplicationStop",)
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    ran: list[tuple[str, str]] = field(default_factory=list)
    bundles: list[list[str]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[PlayedHost]:
        """Polls for the block."""
        polling = asyncio.create_task(self._poll())
        try:
            yield self
        finally:
            polling.cancel()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(polling, *self.tasks, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            try:
                reply = await self.agent.call("PollHostCommand", {"HostIdentifier": self.agent.host})
            except urllib3.exceptions.HTTPError:
                reply = Reply(503, {}, b"")
            if reply.status == 200 and reply.json.get("HostCommand"):
                task = asyncio.create_task(self._execute(reply.json["HostCommand"]))
                self.tasks.add(task)
            await asyncio.sleep(0.01 if reply.status == 200 else 0.3)

    async def _execute(self, command: Mapping[str, Any]) -> None:
        identifier, event = command["HostCommandIdentifier"], command["CommandName"]
        execution = command["DeploymentExecutionId"]
        await self._again(self.agent.specification, execution)
        noop = event in self.noops
        acknowledged = await self._again(self.agent.acknowledge_reply, identifier, noop)
        if acknowledged.json["CommandStatus"] in ("Succeeded", "Failed"):
            return
        self.ran.append((execution.split("/")[3], event))
        if event in self.holds:
            await self.holds[event].wait()
        if event == "DownloadBundle":
            await self._download(execution)
        failure = self.ends.get(event)
        await self._again(self.agent.complete_with, identifier, failure)
        if failure:
            second = {"error_code": 5, "script_name": "", "log": "", "message": failure.get("message", "")}
            await self._again(self.agent.complete_with, identifier, second)

    async def _download(self, execution: str) -> None:
        revision = self.specifications[execution]["Revision"]["S3Revision"]
        reply = await self.agent.download("127.0.0.1:9000", f"/{revision['Bucket']}/{revision['Key']}")
        assert reply.status == 200, reply.body
        self.bundles.append(members(reply.body, revision["BundleType"]))

    @property
    def specifications(self) -> dict[str, Any]:
        return self.agent.specifications

    async def _again(self, call: Callable[..., Awaitable[Reply]], *words: Any) -> Reply:
        """As the agent's SDK: an answer that is lost is asked for again."""
        for _ in range(100):
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                reply = await call(*words)
                if reply.status < 500:
                    return reply
            await asyncio.sleep(0.3)
        raise AssertionError("no server answers")


def members(data: bytes, kind: str) -> list[str]:
    """The names of the files in an archive."""
    if kind == "zip":
        return sorted(zipfile.ZipFile(io.BytesIO(data)).namelist())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return sorted(member.name for member in archive if member.isfile())
