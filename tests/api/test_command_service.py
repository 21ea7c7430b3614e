"""CodeDeployCommandService over its wire: sign-in, the five operations, downloads, and recorded deployments played."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.agent_wire import RecordedCall, recorded_cases, signature_vectors
from tests.harness.codedeploy_agent import KEYS, KnownHosts, SavedRuns, WireAgent, live_run, to_application
from towline.api.access_keys import AccessKey
from towline.api.app import Receive, Scope, Send, send_answer
from towline.api.app import Response as HttpAnswer
from towline.api.command_service.endpoints import CommandEndpoints
from towline.api.command_service.envelope import SpecificationSigner
from towline.api.command_service.hosts import SignIn
from towline.api.command_service.keys import HostKeyId, HostKeys, read_host_keys
from towline.api.command_service.wire import SERVICES
from towline.api.errors import ApiError
from towline.api.sigv4 import Request, Verifier
from towline.codedeploy_agents.access_keys import KnownHost
from towline.codedeploy_agents.runs import LiveRun, Runs
from towline.errors import InvalidInput
from towline.model.codedeploy_agent.commands import State
from towline.model.codedeploy_agent.specification import BundleObject

EVENTS = ("ApplicationStop", "DownloadBundle", "Install")


async def nothing_else(scope: Scope, receive: Receive, send: Send) -> None:
    await send_answer(send, HttpAnswer(418, {}, b""))


class Server:
    """The endpoints over runs whose polls are not held."""

    def __init__(self, *hosts: str) -> None:
        self.known = KnownHosts.of(*hosts)
        self.runs = Runs(hold_seconds=0.0, owner_seconds=0.0)
        self.saves = SavedRuns()
        self.application = CommandEndpoints(self.runs, SignIn(KEYS, self.known), nothing_else)

    def agent(self, name: str = "web-1", **options: Any) -> WireAgent:
        return WireAgent(to_application(self.application), name, **options)

    def run(self, host: str = "web-1", **options: Any) -> LiveRun:
        return live_run(host, options.pop("events", EVENTS), self.saves, **options)


# ── one deployment ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_command_is_saved_before_it_is_handed_out_and_each_answer_is_an_object() -> None:
    server = Server("web-1")
    agent, live = server.agent(), server.run()
    assert await agent.poll() == {}
    with server.runs.opened(live):
        command = (await agent.poll())["HostCommand"]
        assert command["HostIdentifier"] == agent.host and command["CommandName"] == "ApplicationStop"
        assert server.saves.states() == ["offered"]
        assert await agent.poll() == {}
        assert (await agent.specification(command["DeploymentExecutionId"])).json["DeploymentSystem"] == "CodeDeploy"
        assert await agent.acknowledge(command["HostCommandIdentifier"]) == {"CommandStatus": "InProgress"}
        assert server.saves.states() == ["offered", "acknowledged"]
        done = await agent.complete(command["HostCommandIdentifier"])
        assert (done.status, done.json) == (200, {})
        assert (await agent.poll())["HostCommand"]["CommandName"] == "DownloadBundle"


async def test_a_held_poll_is_answered_as_soon_as_there_is_a_command() -> None:
    server = Server("web-1")
    server.runs = Runs(hold_seconds=60.0)
    server.application = CommandEndpoints(server.runs, SignIn(KEYS, server.known), nothing_else)
    poll = asyncio.create_task(server.agent().poll())
    while not server.runs.heard_at("web-1"):
        await asyncio.sleep(0)
    with server.runs.opened(server.run()):
        assert (await poll)["HostCommand"]["CommandName"] == "ApplicationStop"


async def test_the_newest_poll_of_a_host_wins() -> None:
    server = Server("web-1")
    server.runs = Runs(hold_seconds=60.0)
    server.application = CommandEndpoints(server.runs, SignIn(KEYS, server.known), nothing_else)
    older = asyncio.create_task(server.agent().poll())
    while not server.runs.heard_at("web-1"):
        await asyncio.sleep(0)
    newer = asyncio.create_task(server.agent().poll())
    assert await older == {}
    with server.runs.opened(server.run()):
        assert (await newer)["HostCommand"]


async def test_what_has_been_given_up_is_never_begun() -> None:
    server = Server("web-1")
    agent = server.agent()
    assert await agent.acknowledge("d-0/run/0-ApplicationStop.1") == {"CommandStatus": "Failed"}
    assert (await agent.complete("d-0/run/0-ApplicationStop.1")).status == 200
    assert (await agent.specification("CodeDeploy/towline/prod/d-0/run")).json["__type"] == "ClientException"


async def test_the_end_of_one_host_is_not_that_of_another_one_of_the_deployment() -> None:
    server = Server("web-1", "web-2")
    first, second = server.run("web-1", events=EVENTS[:1]), server.run("web-2", events=EVENTS[:1])
    with server.runs.opened(second):
        with server.runs.opened(first):
            identifier = (await server.agent("web-1").poll())["HostCommand"]["HostCommandIdentifier"]
            await server.agent("web-1").acknowledge(identifier, noop=True)
            assert first.run.is_over
        identifier = (await server.agent("web-2").poll())["HostCommand"]["HostCommandIdentifier"]
        assert await server.agent("web-2").acknowledge(identifier) == {"CommandStatus": "InProgress"}


async def test_a_host_has_nothing_to_do_with_another_ones_commands() -> None:
    server = Server("web-1", "web-2")
    other = server.agent("web-2")
    with server.runs.opened(server.run("web-1")):
        command = (await server.agent("web-1").poll())["HostCommand"]
        assert await other.poll() == {}
        assert await other.acknowledge(command["HostCommandIdentifier"]) == {"CommandStatus": "Failed"}
        assert (await other.complete(command["HostCommandIdentifier"])).status == 200
        assert (await other.specification(command["DeploymentExecutionId"])).status == 400
        assert server.saves.saved[-1].commands[0].state is State.OFFERED


# ── sign-in ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("identifier", ["arn:aws:iam::123456789012:user/web-2", "web-2", "x"])
async def test_a_key_polls_for_its_own_host_alone(identifier: str) -> None:
    server = Server("web-1", "web-2")
    reply = await server.agent("web-1", identifier=identifier).call("PollHostCommand", {"HostIdentifier": identifier})
    assert (reply.status, reply.json["__type"]) == (400, "AccessDeniedException")


async def test_a_host_may_keep_the_arn_that_it_was_registered_by() -> None:
    arn = "arn:aws:iam::123456789012:user/old-name"
    server = Server()
    server.known.hosts["web-1"] = (KnownHost("web-1", (arn,)), 1)
    assert await server.agent("web-1", identifier=arn).poll() == {}


@pytest.mark.parametrize("generation", [1, 3])
async def test_only_the_generation_in_the_catalogue_signs_in(generation: int) -> None:
    server = Server()
    server.known.hosts["web-1"] = (KnownHost("web-1"), 2)
    assert await server.agent("web-1", key=KEYS.key("web-1", 2)).poll() == {}
    reply = await server.agent("web-1", key=KEYS.key("web-1", generation)).call(
        "PollHostCommand", {"HostIdentifier": "web-1"}
    )
    assert reply.json["__type"] == "UnrecognizedClientException" and "agent invite" in reply.json["message"]


async def test_a_role_of_ec2_is_refused_with_a_text_that_says_so() -> None:
    reply = await Server("web-1").agent().call("PollHostCommand", {"HostIdentifier": "web-1"}, x_amz_security_token="t")
    assert reply.json["__type"] == "UnrecognizedClientException" and "only AWS can check" in reply.json["message"]


async def test_a_wrong_secret_is_refused() -> None:
    key = AccessKey("TLH1.web-1", "not the secret of this host", "web-1")
    reply = await Server("web-1").agent(key=key).call("PollHostCommand", {"HostIdentifier": "web-1"})
    assert reply.json["__type"] == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("service", "target"),
    [(SERVICES[0], "CodeDeployCommandService_v20141006"), (SERVICES[1], "CodeDeployCommandService")],
)
async def test_both_forms_of_the_service_are_served(service: str, target: str) -> None:
    assert await Server("web-1").agent(service=service, target=target).poll() == {}


@pytest.mark.parametrize("vector", signature_vectors(), ids=lambda vector: vector["operation"])
def test_signatures_of_the_real_agent_are_those_that_are_computed_here(vector: Mapping[str, Any]) -> None:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    scope = headers["authorization"].partition("Credential=")[2].partition(",")[0].split("/")
    secret, (key_id, day, region, service, _) = vector["secret_access_key"], scope
    signing = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(signing, vector["string_to_sign"].encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = headers["authorization"].replace("{signature}", signature)
    verifier = Verifier(lambda _: AccessKey(key_id, secret, "host-one"), lambda: at(headers["x-amz-date"]), SERVICES)
    request = Request("POST", "/", "", headers, vector["body"].encode())
    if "x-amz-security-token" in headers:
        with pytest.raises(ApiError, match="Session tokens"):
            verifier.verify(request)
        return
    assert verifier.verify(request).region == region
    with pytest.raises(ApiError, match="does not match"):
        verifier.verify(replace(request, headers={**headers, "host": "elsewhere"}))


def at(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


@given(st.from_regex(r"[A-Za-z0-9+=,.@_-]{1,30}", fullmatch=True), st.integers(1, 99_999))
def test_a_key_id_shows_whose_it_is(name: str, generation: int) -> None:
    key = KEYS.key(name, generation)
    assert HostKeyId.parse(key.key_id) == HostKeyId(name, generation)
    assert KEYS.find(key.key_id) == key
    assert KEYS.key(name, generation + 1).secret != key.secret != HostKeys(b"another").key(name, generation).secret


@pytest.mark.parametrize("text", ["", "TLH0.a", "TLH01.a", "TLH1.", "TLH1.a%2c", "TLH1.%61", "TLCI", "TLH1.a/b"])
def test_what_is_no_key_id_of_a_host(text: str) -> None:
    assert KEYS.find(text) is None


def test_the_key_file_is_private_and_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "host-keys"
    for content, mode, words in ((b"x" * 64, 0o644, "others may read it"), (b"short", 0o600, "less than 32 bytes")):
        file.write_bytes(content)
        file.chmod(mode)
        with pytest.raises(InvalidInput, match=words):
            read_host_keys(file)


# ── what a host sends is input ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("PollHostCommand", {}),
        ("PollHostCommand", {"HostIdentifier": 7}),
        ("PutHostCommandAcknowledgement", {"HostCommandIdentifier": ["x"]}),
        ("PutHostCommandComplete", {"HostCommandIdentifier": "x", "CommandStatus": "Done"}),
        ("Unknown", {}),
    ],
)
async def test_nonsense_is_refused_by_name(operation: str, body: dict[str, Any]) -> None:
    reply = await Server("web-1").agent().call(operation, body)
    assert reply.status == 400
    assert reply.json["__type"] in ("SerializationException", "UnknownOperationException")


async def test_long_diagnostics_are_cut() -> None:
    server = Server("web-1")
    agent, live = server.agent(), server.run()
    with server.runs.opened(live):
        identifier = (await agent.poll())["HostCommand"]["HostCommandIdentifier"]
        await agent.acknowledge(identifier)
        await agent.complete(identifier, "Failed", error_code=4, message="m" * 300_000, log="\x1b[31m" + "l" * 300_000)
    kept = server.saves.saved[-1].commands[0].diagnostics
    assert len(kept.message) <= 2000 and len(kept.log) <= 16 * 1024


async def test_a_body_of_more_than_a_mebibyte_is_refused() -> None:
    reply = await Server("web-1").agent().call("PollHostCommand", {"HostIdentifier": "x" * 2_000_000})
    assert reply.status == 413


# ── specification and bundle ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_a_specification_is_signed_with_its_certificate_inside(tmp_path: Path) -> None:
    signer, specification = SpecificationSigner(), {"DeploymentId": "d-1", "Name": "é"}
    assert opened(signer.envelope(specification), tmp_path) == specification


def opened(envelope: Mapping[str, str], folder: Path) -> Any:
    """The content of a signed envelope, its signature checked by OpenSSL."""
    assert envelope["Format"] == "PKCS7/JSON" and envelope["Payload"].startswith("-----BEGIN PKCS7-----\n")
    (folder / "envelope.pem").write_text(envelope["Payload"])
    command = [
        "openssl",
        "smime",
        "-verify",
        "-noverify",
        "-binary",
        "-inform",
        "PEM",
        "-in",
        str(folder / "envelope.pem"),
    ]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


BUNDLE = BundleObject("bundles", "dir/a b+c.tar", "tar", "v0002", '"178b4da7"')


@pytest.mark.parametrize(
    ("host", "path", "query"),
    [
        ("127.0.0.1:9000", "/bundles/dir/a%20b%2Bc.tar", "versionId=v0002"),
        ("bundles.s3.test:9000", "/dir/a%20b%2Bc.tar", ""),
        ("s3.test", "/bundles/dir/a%20b%2Bc.tar", ""),
    ],
)
async def test_a_host_downloads_the_bundle_of_its_deployment(host: str, path: str, query: str) -> None:
    server = Server("web-1")
    content = bytes(range(256)) * 2000
    with server.runs.opened(server.run(bundle=BUNDLE, content=content)):
        reply = await server.agent().download(host, path, query)
    assert (reply.status, reply.body) == (200, content)
    assert (reply.headers["etag"], reply.headers["content-length"]) == ('"178b4da7"', str(len(content)))


@pytest.mark.parametrize("path", ["/bundles/dir/other.tar", "/other/dir/a%20b%2Bc.tar", "/bundles/dir/a%20b%2Bc.tar/x"])
async def test_a_host_downloads_nothing_else(path: str) -> None:
    server = Server("web-1", "web-2")
    with server.runs.opened(server.run(bundle=BUNDLE, content=b"secret")):
        assert (await server.agent().download("127.0.0.1:9000", path)).status == 403
        other = await server.agent("web-2").download("127.0.0.1:9000", "/bundles/dir/a%20b%2Bc.tar")
        assert other.status == 403 and b"has no deployment at work" in other.body
    assert (await server.agent().download("127.0.0.1:9000", "/bundles/dir/a%20b%2Bc.tar")).status == 403


# ── recorded deployments ─────────────────────────────────────────────────────────────────────────────────────────


class Player:
    """Plays a recorded agent against the server: whatever it asks is answered as it was, in what matters to it."""

    def __init__(self, live: LiveRun, agent: WireAgent, folder: Path) -> None:
        self.live, self.agent, self.folder = live, agent, folder
        self.ours: dict[str, Mapping[str, str]] = {}
        self.last: Mapping[str, str] = {}

    async def play(self, call: RecordedCall) -> None:
        if call.operation == "PollHostCommand":
            await self.poll(call)
        elif call.operation == "GetDeploymentSpecification":
            await self.specification()
        elif call.command in self.ours:
            await self.report(call)

    async def poll(self, call: RecordedCall) -> None:
        current = self.live.run.current
        if not call.command and current and current.state is State.PLANNED:
            return  # the recorded server let some time pass between two commands
        answer = await self.agent.poll()
        if not call.command:
            assert answer == {}
            return
        self.last = self.ours[call.command] = answer["HostCommand"]
        assert self.last["HostIdentifier"] == self.agent.host

    async def specification(self) -> None:
        reply = await self.agent.specification(self.last["DeploymentExecutionId"])
        assert reply.json["DeploymentSystem"] == "CodeDeploy"
        envelope = reply.json["DeploymentSpecification"]["GenericEnvelope"]
        assert opened(envelope, self.folder)["DeploymentId"] == self.last["DeploymentExecutionId"].split("/")[3]

    async def report(self, call: RecordedCall) -> None:
        body = {**call.body, "HostCommandIdentifier": self.ours[call.command]["HostCommandIdentifier"]}
        reply = await self.agent.call(call.operation, body)
        assert reply.status == 200
        if call.operation == "PutHostCommandAcknowledgement":
            ended = reply.json["CommandStatus"] == "Succeeded"
            assert ended is ('"IsCommandNoop":true' in call.body["Diagnostics"]["Payload"])


WHOLE = ("s3ok", "ghok", "longhook", "ackslow", "session", "imds", "secure")
"""Scenarios whose server handed out commands one after the other, and answered as a server should."""


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("case", [case for case in recorded_cases() if case.name in WHOLE], ids=lambda case: case.name)
async def test_a_recorded_agent_finds_every_answer_that_it_needs(case: Any, tmp_path: Path) -> None:
    name = case.host.rpartition("/")[2]
    server = Server(name)
    events = list(case.commands.values())
    live = server.run(name, events=events)
    player = Player(live, server.agent(name, identifier=case.host), tmp_path)
    with server.runs.opened(live):
        for call in case.calls():
            await player.play(call)
    played = [player.ours[command]["CommandName"] for command in case.commands]
    assert played == events
    assert live.run.place is None


async def test_what_is_none_of_the_agents_goes_to_the_api() -> None:
    reply = await Server("web-1").agent(target="CodeDeploy_20141006").call("GetDeployment", {})
    assert reply.status == 418
