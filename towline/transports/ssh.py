"""Hosts over SSH: one connection and one exec per host. Connections are made in `ssh_connections.py`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncssh

from towline.errors import HostRefused, TowlineError, Unreachable
from towline.model.fleet.instance import SshSettings
from towline.transports.base import CHUNK_BYTES
from towline.transports.bootstrap import Runner, start_command
from towline.transports.process import Process, ProcessTransport, Reader
from towline.transports.ssh_connections import SshConnections, close_connection

SHELL_SECONDS = 60.0  # from the session to the first command: a login shell's start-up files
SHELL_READY = "towline-begins"
_READY_LINE = f"{SHELL_READY}\n".encode()
MOST_GREETING_BYTES = 64 * 1024  # of a login shell's output before the first event


class SshTransport(ProcessTransport):
    """The runner on a host, over SSH."""

    def __init__(
        self, runner: Runner, lines: SshConnections, name: str, settings: Callable[[], Awaitable[SshSettings]]
    ) -> None:
        """`name` is the instance's name, and the host unless the settings, read at each connect, have another."""
        super().__init__(runner)
        self._sha256 = runner.sha256
        self._lines = lines
        self._name = name
        self._settings = settings

    async def _exec(self) -> Process:
        settings = await self._settings()
        become_root = settings.username != "root" if settings.sudo is None else settings.sudo
        command = start_command(
            self._sha256, python=settings.python, launcher=settings.launcher, become_root=become_root
        )
        connection = await self._lines.connect(self._name, settings)
        try:
            async with _acknowledging(connection):
                process = await connection.create_process(f"echo {SHELL_READY} && {command}", encoding=None)
                early = await self._shell_ready(process)
        except HostRefused:
            await close_connection(connection)
            raise
        except BaseException as error:
            await close_connection(connection)
            if not isinstance(error, Exception):
                raise
            raise _no_session(error, self._name) from error
        return _Remote(connection, process, self._name, early)

    async def _shell_ready(self, process: asyncssh.SSHClientProcess[bytes]) -> bytes:
        """Waits until the login shell has run its start-up files, and returns what else it has printed.

        The order is sent after that: a start-up file that hangs starts nothing, and one that reads input gets none of
        it. Raises HostRefused.
        """
        seen = b""
        try:
            async with asyncio.timeout(SHELL_SECONDS):
                while (at := seen.find(_READY_LINE)) < 0:
                    data = await process.stdout.read(CHUNK_BYTES)
                    if not data:
                        return seen  # it ended; its output says why
                    seen = seen[-MOST_GREETING_BYTES:] + data
        except asyncio.CancelledError:
            _kill(process)
            raise
        except TimeoutError:
            _kill(process)
            raise HostRefused(
                f"the login shell on {self._name} has not run a command within {SHELL_SECONDS:.0f} s",
                "See what waits in its start-up files: ~/.bashrc, ~/.profile, ~/.ssh/rc, /etc/profile.d.",
                code="LoginShellHangs",
            ) from None
        return seen[:at] + seen[at + len(_READY_LINE) :]


def _kill(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Kills the remote process, which would wait forever otherwise. OpenSSH ignores the signal for a root login."""
    with contextlib.suppress(OSError):
        process.kill()


class _Remote(Process):
    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        process: asyncssh.SSHClientProcess[bytes],
        name: str,
        early: bytes,
    ) -> None:
        self._connection = connection
        self._process = process
        self._name = name
        self.stdin, self.stderr = process.stdin, process.stderr
        self.stdout = _Output(early, process.stdout)

    async def status(self) -> int | None:
        await self._process.wait_closed()
        status = self._process.exit_status
        return status if status is not None and status >= 0 else None

    async def close(self) -> None:
        self._process.close()
        await close_connection(self._connection)

    def broken(self, error: Exception) -> Unreachable:
        return Unreachable(f"the connection to {self._name} broke: {error or type(error).__name__}")


class _Output:
    """Standard output, preceded by what has been read of it already."""

    def __init__(self, early: bytes, reader: Reader) -> None:
        self._early, self._reader = early, reader

    async def read(self, n: int, /) -> bytes:
        if self._early:
            early, self._early = self._early[:n], self._early[n:]
            return early
        return await self._reader.read(n)


def _no_session(error: Exception, name: str) -> TowlineError:
    """The error for a host that accepts the login but opens no session."""
    if isinstance(error, asyncssh.ChannelOpenError):
        return HostRefused(f"{name} opens no session: {error}", code="NoSession")
    return Unreachable(f"the connection to {name} broke: {error or type(error).__name__}")


@contextlib.asynccontextmanager
async def _acknowledging(connection: asyncssh.SSHClientConnection) -> AsyncIterator[None]:
    """Turns off delayed ACKs during the block.

    After a login sshd sends its other host keys, and its next packet, the answer to the exec, waits for their ACK,
    which the kernel would delay by 40 ms in the hope of data to send along.
    """
    sock = connection.get_extra_info("socket")
    task = asyncio.create_task(_acknowledge(sock)) if sock and hasattr(socket, "TCP_QUICKACK") else None
    try:
        yield
    finally:
        if task:
            task.cancel()


async def _acknowledge(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for number in range(10):  # a tenth of a second, more often at first: a busy host gains nothing from more
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            await asyncio.sleep(0.002 * 1.4**number)
