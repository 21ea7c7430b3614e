"""A host name with several addresses: the first that answers is taken, also behind one that swallows what it gets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from towline.errors import Unreachable
from towline.model.fleet.instance import SshSettings
from towline.transports.ssh_connections import connected_socket
from towline.transports.ssh_hops import hop_to

NAME = "two-addresses.example"


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address whose queue of connections is full: the kernel answers nothing more there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(address)
        yield address
        for one in filling:
            one.close()


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `NAME` resolves to; the system's resolver is the one thing here that is not real."""
    found: list[str] = []

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        assert host == NAME
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return found


async def connected(port: int, seconds: float = 20.0) -> socket.socket:
    return await connected_socket(hop_to(NAME, SshSettings(port=port, connect_timeout_seconds=seconds)))


async def test_an_address_that_hangs_does_not_hide_the_next(silent: tuple[str, int], addresses: list[str]) -> None:
    addresses += [silent[0], "127.0.0.3"]
    with socket.create_server(("127.0.0.3", silent[1])), await connected(silent[1]) as sock:
        assert sock.getpeername()[0] == "127.0.0.3"


async def test_an_address_that_refuses_does_not_hide_the_next(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.3"]
    with socket.create_server(("127.0.0.3", 0)) as server, await connected(server.getsockname()[1]) as sock:
        assert sock.getpeername()[0] == "127.0.0.3"


async def test_where_none_answers_the_reason_is_told(silent: tuple[str, int], addresses: list[str]) -> None:
    addresses += [silent[0]]
    with pytest.raises(Unreachable, match="does not answer within 1 s"):
        await connected(silent[1], seconds=1)
    addresses[:] = ["127.0.0.3", "127.0.0.4"]
    with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
        await connected(silent[1])
