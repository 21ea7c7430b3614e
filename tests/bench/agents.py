"""What hosts that poll cost an API server: `python -m tests.bench.agents [HOSTS] [SECONDS]`.

Hosts that only poll, over TLS, each with its own connection and key, against `towline api`'s endpoints in a process of
its own (the keys are played, so that no Temporal is needed: an idle poll asks it nothing). Prints memory for each host,
and the processor time that polling takes at a hold of 45 seconds.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import secrets
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from tests.harness.certificates import write_certificate
from towline.agents.exchange import Exchange
from towline.agents.keys import AgentKeys
from towline.agents.peers import Peers
from towline.agents.service import AgentService
from towline.agents.sign_in import key_id_of, signed_text
from towline.api.agents import AgentEndpoints
from towline.api.app import ApiApplication
from towline.api.relay import Relay
from towline.api.server import Listen, server
from towline.host.agent.ed25519 import public_key, sign

SECRET = bytes(32)
PUBLIC = public_key(SECRET)
HOLD = 45.0


class Keys:
    """One key for all hosts."""

    async def public_key(self, name: str, key_id: str, *, is_busy: bool = False) -> bytes:
        return bytes(PUBLIC)


class NoPeers:
    """The other API servers: none."""

    own = ""

    async def addresses(self) -> frozenset[str]:
        return frozenset()


def serve(cert: Path, key: Path, port: Any) -> None:
    agents = AgentService(Exchange(), cast(AgentKeys, Keys()))
    relay = Relay(agents.exchange, cast(Peers, NoPeers()))
    endpoints = AgentEndpoints(agents, relay, cast(ApiApplication, None))
    http = server(endpoints, Listen(tls_cert=cert, tls_key=key))
    http.on_started = lambda: port.put(http.servers[0].sockets[0].getsockname()[1])
    asyncio.run(http.serve())


def request(name: str, number: int, hold: float) -> bytes:
    body = json.dumps({"session": f"session-{name}", "number": number, "hold": hold, "clock": time.time()}).encode()
    now, nonce = f"{time.time():.0f}", secrets.token_urlsafe(18)
    signature = sign(SECRET, PUBLIC, signed_text("POST", "/agent/v1/poll", name, now, nonce, body))
    fields = {"name": name, "key": key_id_of(PUBLIC), "time": now, "nonce": nonce}
    fields["signature"] = base64.b64encode(signature).decode()
    lines = [f"x-towline-{field}: {value}" for field, value in fields.items()]
    head = ["POST /agent/v1/poll HTTP/1.1", "host: bench", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def measured(pid: int) -> tuple[float, float]:
    """Memory in KB, and processor seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1024, (int(fields[11]) + int(fields[12])) / ticks


async def polls(hosts: int, port: int, pid: int, seconds: float) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before, _ = measured(pid)
    limit = asyncio.Semaphore(50)
    lines = []

    async def connect(number: int) -> None:
        async with limit:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(request(f"host-{number}", 1, HOLD))
            await writer.drain()
            lines.append((reader, writer))

    await asyncio.gather(*(connect(number) for number in range(hosts)))
    await asyncio.sleep(2)
    after, _ = measured(pid)
    print(f"{hosts} hosts that poll: {(after - before) / hosts:.1f} KB each ({after / 1024:.0f} MB)")
    _, start = measured(pid)
    await asyncio.sleep(5)
    print(f"none: {(measured(pid)[1] - start) / 5 * 100:.1f} % of a core")
    # As many polls a second as they would make at a hold of 45 s, answered at once.
    rate, (reader, writer) = hosts / HOLD, lines[0]
    made = [request("host-0", number, 0.0) for number in range(2, int(rate * seconds) + 2)]
    _, start = measured(pid)
    began = time.monotonic()
    for number, one in enumerate(made):
        writer.write(one)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.partition(b":")[2]))
        await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    _, end = measured(pid)
    print(f"{rate:.0f} polls a second: {(end - start) / (time.monotonic() - began) * 100:.1f} % of a core")


def main() -> None:
    hosts, seconds = int((sys.argv[1:] or ["2000"])[0]), float((sys.argv[2:] or ["10"])[0])
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        write_certificate(cert, key)
        context = multiprocessing.get_context("spawn")
        port: Any = context.Queue()
        process = context.Process(target=serve, args=(cert, key, port), daemon=True)
        process.start()
        assert process.pid
        try:
            asyncio.run(polls(hosts, port.get(timeout=60), process.pid, seconds))
        finally:
            process.kill()


if __name__ == "__main__":
    main()
