"""The agent's endpoints: who is let in, and what a hostile host gets. ASGI in this process, with keys of the test's."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

import towline.api.relay as relay_module
from towline.agents.exchange import Exchange
from towline.agents.keys import AgentKeys
from towline.agents.messages import MOST_BYTES
from towline.agents.peers import Peers, process_prefix
from towline.agents.service import AgentService
from towline.agents.sign_in import Signature, key_id_of, signed_text
from towline.api.agents import LINE_BYTES, AgentEndpoints
from towline.api.app import ApiApplication
from towline.api.relay import WANT_PATH, Relay
from towline.errors import AuthenticationRefused
from towline.host.agent.ed25519 import public_key, sign

NOW = 1_800_000_000.0
POLL = "/agent/v1/poll"


@dataclass
class Keys:
    """The catalogue's keys, played."""

    known: dict[str, bytes] = field(default_factory=dict)

    async def public_key(self, name: str, key_id: str, *, is_busy: bool = False) -> bytes:
        if name not in self.known or key_id_of(self.known[name]) != key_id:
            raise AuthenticationRefused(f"{name} has no agent", code="AgentUnknown")
        return self.known[name]


class NoPeers:
    """The other API servers: none."""

    own = ""

    async def addresses(self) -> frozenset[str]:
        return frozenset()


@dataclass
class Host:
    """A host with a key, which may sign what it should not."""

    name: str
    server: AgentEndpoints
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    time: float = NOW

    def headers(self, body: bytes, path: str = POLL, **changes: str) -> dict[str, str]:
        public = public_key(self.secret)
        values = {"name": self.name, "key": key_id_of(public), "time": f"{self.time:.0f}"}
        values["nonce"] = secrets.token_urlsafe(18)
        text = signed_text("POST", path, values["name"], values["time"], values["nonce"], body)
        values["signature"] = base64.b64encode(sign(self.secret, public, text)).decode()
        return {f"x-towline-{name}": value for name, value in (values | changes).items()}

    async def send(self, body: bytes, headers: dict[str, str] | None = None, path: str = POLL) -> tuple[int, Any]:
        return await request(self.server, path, body, self.headers(body, path) if headers is None else headers)


async def request(server: AgentEndpoints, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    messages = [{"type": "http.request", "body": body}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": raw, "client": ("10.0.0.1", 5)}
    await server(scope, receive, send)
    if not sent:
        return 0, None  # hung up
    return sent[0]["status"], json.loads(sent[1]["body"].partition(b"\n")[0])


def poll(number: int = 1, **changes: Any) -> bytes:
    return json.dumps({"session": "session-1", "number": number, "hold": 0, **changes}).encode()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def server(keys: Keys) -> AgentEndpoints:
    agents = AgentService(Exchange(clock=lambda: NOW), cast(AgentKeys, keys))
    relay = Relay(agents.exchange, cast(Peers, NoPeers()))
    return AgentEndpoints(agents, relay, cast(ApiApplication, None), clock=lambda: NOW)


@pytest.fixture
def host(server: AgentEndpoints, keys: Keys) -> Host:
    host = Host("web-1", server)
    keys.known["web-1"] = public_key(host.secret)
    return host


async def test_a_known_host_is_let_in(host: Host) -> None:
    status, answer = await host.send(poll())
    assert (status, answer["offers"]) == (200, [])


async def test_a_request_is_served_once(host: Host) -> None:
    body = poll()
    headers = host.headers(body)
    assert (await host.send(body, headers))[0] == 200
    status, answer = await host.send(body, headers)
    assert (status, answer["error"]) == (401, "Replayed")


async def test_another_body_another_path_another_name(host: Host, keys: Keys) -> None:
    keys.known["web-2"] = public_key(secrets.token_bytes(32))
    body = poll()
    for headers, sent, path, error in (
        (host.headers(poll(2)), body, POLL, "WrongSignature"),
        (host.headers(body, "/agent/v1/output"), body, POLL, "WrongSignature"),
        (host.headers(body) | {"x-towline-name": "web-2"}, body, POLL, "AgentUnknown"),
        (host.headers(body, name="web-2", key=key_id_of(keys.known["web-2"])), body, POLL, "WrongSignature"),
        ({}, body, POLL, "NotSigned"),
        (host.headers(body, signature="AAAA"), body, POLL, "NotSigned"),
        (host.headers(body, time="NaN"), body, POLL, "NotSigned"),
    ):
        status, answer = await host.send(sent, headers, path)
        assert (status, answer["error"]) == (401, error)


@pytest.mark.parametrize("seconds", [-61, 61])
async def test_a_clock_that_is_off_is_named_and_told_the_time(host: Host, seconds: int) -> None:
    host.time += seconds
    status, answer = await host.send(poll())
    assert (status, answer["error"], answer["time"]) == (401, "ClockSkew", NOW)
    assert "61 s" in answer["message"]


async def test_unknown_host(server: AgentEndpoints) -> None:
    status, answer = await Host("stranger", server).send(poll())
    assert (status, answer["error"]) == (401, "AgentUnknown")
    assert server.refused == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b"x" * (LINE_BYTES + 1),
        poll(open={"x": -1}),
        poll(open={str(n): 0 for n in range(65)}),
        poll(hold=1e9),
        poll(session=""),
        poll(hostname="\ud800"),
    ],
)
async def test_what_is_no_message_is_refused(host: Host, body: bytes) -> None:
    status, answer = await host.send(body)
    assert (status, answer["error"]) == (400, "InvalidMessage")


async def test_a_body_without_end_is_not_read(host: Host) -> None:
    assert (await host.send(b"x" * (LINE_BYTES + MOST_BYTES + 1)))[0] == 0


async def test_a_flood_is_throttled(host: Host) -> None:
    answers = [await host.send(poll(number)) for number in range(1, 121)]
    assert {status for status, _ in answers} == {200, 429}


async def test_a_stranger_cannot_have_polls_passed_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    posts: list[str] = []

    async def post(address: str, *_: Any, **__: Any) -> tuple[int, bytes]:
        posts.append(address)
        return 500, b""

    monkeypatch.setattr(relay_module, "post", post)
    want = json.dumps({"name": "web-1", "address": "http://attacker.example:80"}).encode()
    assert (await host.send(want, {}, WANT_PATH))[0] == 200
    status, answer = await host.send(poll())
    assert (status, answer["offers"], posts) == (200, [], [])


async def test_conversations_of_a_server_that_is_gone_are_over(host: Host) -> None:
    gone = process_prefix("http://10.0.0.9:8014", "token") + "1"
    _, answer = await host.send(poll(open={gone: 0}))
    assert answer["gone"] == [gone]


def test_headers_are_read_as_they_are_written() -> None:
    host = Host("web-1", cast(AgentEndpoints, None))
    assert Signature.of(host.headers(b"")).name == "web-1"
