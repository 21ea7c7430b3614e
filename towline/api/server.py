"""The HTTP server: uvicorn with h11, with limits for slow and numerous clients.

h11 and not httptools: httptools takes 30 MB of headers before anything of ours is asked.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextlib
import gc
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from towline.api.app import Receive, Scope, Send
from towline.api.tls import Certificate

HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 10.0
MAX_CONNECTIONS = 25_000
"""Each host that polls has one, and a second one while it is deployed to."""
TLS_BUFFER_BYTES = 16 * 1024
"""Of a connection; asyncio's own, 256 KiB, would be 2.8 GB for 10,000 hosts that poll."""
KEEP_ALIVE_SECONDS = 75
SHUTDOWN_SECONDS = 10


@dataclass(frozen=True)
class Listen:
    """Where the server listens; with both files it speaks TLS."""

    ip: str = "127.0.0.1"
    port: int = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.ip in ("localhost", "::1") or self.ip.startswith("127.")


class _Connection(H11Protocol):
    """A connection whose request's head must arrive in time: a client that sends a byte a minute would keep it."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_inside_head = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not is_inside_head:
            self._head_has_come()
        elif self._head_timer is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_has_come()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _head_has_come(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """uvicorn's server, which says when it listens, and when it is about to end its connections."""

    on_started: Callable[[], None] | None = None
    on_ending: Callable[[], Awaitable[None]] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.on_started:
            self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.on_ending:
            await self.on_ending()
        await super().shutdown(sockets)


def server(application: Callable[[Scope, Receive, Send], Awaitable[None]], listen: Listen) -> Server:
    """A server that is ready to `serve()`; SIGTERM lets calls that are under way end. Raises InvalidInput."""
    _allow_connections()
    config = uvicorn.Config(
        application,
        host=listen.ip,
        port=listen.port,
        http=_Connection,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_context_factory=_tls_of(listen),
    )
    return Server(config)


def _tls_of(listen: Listen) -> Callable[..., ssl.SSLContext] | None:
    if not listen.tls_cert or not listen.tls_key:
        return None
    context = Certificate(listen.tls_cert, listen.tls_key).context
    return lambda *_: context


def _allow_connections() -> None:
    """As many open files as the system lets this process have, and small buffers for TLS."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
    gc.set_threshold(10_000, 10, 10)  # to look through thousands of idle connections for garbage takes long
