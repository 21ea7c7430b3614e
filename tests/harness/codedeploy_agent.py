"""A client that calls as AWS's agent does, against an ASGI application; and a host's run without a deployment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass
class WireAgent:
    """One host's agent: signs with its key, and calls one operation at a time."""

    application: Asgi
    name: str
    identifier: str = ""
    key: AccessKey | None = None
    service: str = "codedeploy-commands"
    target: str = TARGET

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
        return await send(self.application, request, data)

    async def poll(self) -> Any:
        return (await self.call("PollHostCommand", {"HostIdentifier": self.host})).json

    async def specification(self, execution_id: str) -> Reply:
        body = {"DeploymentExecutionId": execution_id, "HostIdentifier": self.host}
        return await self.call("GetDeploymentSpecification", body)

    async def acknowledge(self, identifier: str, *, noop: bool = False) -> Any:
        diagnostics = {"Format": "JSON", "Payload": json.dumps({"IsCommandNoop": noop})}
        body = {"HostCommandIdentifier": identifier, "Diagnostics": diagnostics}
        return (await self.call("PutHostCommandAcknowledgement", body)).json

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
        return await send(self.application, request, b"")

    @property
    def host(self) -> str:
        return self.identifier or f"arn:aws:iam::000000000000:user/{self.name}"

    @property
    def _credentials(self) -> Credentials:
        key = self.key or KEYS.key(self.name, 1)
        return Credentials(key.key_id, key.secret)


async def send(application: Asgi, request: AWSRequest, data: bytes) -> Reply:
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
