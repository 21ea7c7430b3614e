"""Hosts over SSH: one connection and one exec per host, through one shared connection per bastion.

asyncssh implements the protocol; this module decides which keys to trust and translates errors. The worker's own
`~/.ssh/config` is ignored unless the settings name a configuration file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncssh
from aiohappyeyeballs import start_connection

from towline.errors import AuthenticationRefused, HostRefused, OurFault, TowlineError, Unreachable
from towline.model.fleet.instance import ProxyJump, SshSettings
from towline.transports.base import CHUNK_BYTES
from towline.transports.bootstrap import Runner, start_command
from towline.transports.hostkeys import KeyWitness, host_key_refused, known_hosts
from towline.transports.process import Process, ProcessTransport, Reader

CONNECT_SECONDS = 10.0
LOGIN_SECONDS = 30.0  # from the first byte to the session: a loaded worker does many handshakes at once
SHELL_SECONDS = 60.0  # from the session to the first command: a login shell's start-up files
SHELL_READY = "towline-begins"
_READY_LINE = f"{SHELL_READY}\n".encode()
MOST_GREETING_BYTES = 64 * 1024  # of a login shell's output before the first event
NEXT_ADDRESS_SECONDS = 0.25  # what RFC 8305 recommends
KEEPALIVE_SECONDS = 5.0
KEEPALIVE_MISSES = 3  # a connection without an answer for some 15 s is broken
CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Hop:
    """One hop: the host, and the credentials for it. Hashable, as the key of shared bastion connections."""

    host: str
    port: int | None
    username: str | None
    identity_files: tuple[str, ...]
    known_hosts_file: str | None
    config: str | None
    connect_seconds: float

    @property
    def text(self) -> str:
        """For display: user@host:port, as far as given."""
        user = f"{self.username}@" if self.username else ""
        return f"{user}{self.host}{f':{self.port}' if self.port else ''}"


def hop_to(name: str, settings: SshSettings) -> Hop:
    """The last hop to an instance; `host` defaults to its name."""
    given = settings.identity_file
    return Hop(
        host=settings.host or name,
        port=settings.port,
        username=settings.username,
        identity_files=(given,) if isinstance(given, str) else given or (),
        known_hosts_file=settings.known_hosts_file,
        config=settings.config,
        connect_seconds=settings.connect_timeout_seconds or CONNECT_SECONDS,
    )


def hop_to_bastion(jump: ProxyJump, behind: Hop) -> Hop:
    """The hop to a bastion; user, key and known_hosts default to those of the host behind it."""
    return Hop(
        host=jump.host,
        port=jump.port,
        username=jump.username or behind.username,
        identity_files=(jump.identity_file,) if jump.identity_file else behind.identity_files,
        known_hosts_file=jump.known_hosts_file or behind.known_hosts_file,
        config=behind.config,
        connect_seconds=behind.connect_seconds,
    )


class SshConnections:
    """A worker's SSH connections: those to bastions are shared and kept, those to hosts belong to the caller."""

    def __init__(self, max_handshakes: int) -> None:
        """`max_handshakes`: the maximum of concurrent ones, over all hosts and bastions."""
        self._handshakes = asyncio.Semaphore(max_handshakes)
        self._bastions: dict[Hop, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def connect(self, name: str, settings: SshSettings) -> asyncssh.SSHClientConnection:
        """A new connection to an instance. Raises towline's errors: Unreachable, AuthenticationRefused, …"""
        hop = hop_to(name, settings)
        jump = settings.proxy_jump or _jump_of_config(hop)
        if jump is None:
            return await self._shake_hands(hop, None)
        bastion = hop_to_bastion(jump, hop)
        return await self._shake_hands(hop, await self._through(bastion))

    async def close(self) -> None:
        """Closes the connections to bastions."""
        tasks = list(self._bastions.values())
        self._bastions.clear()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await close_connection(await task)

    async def _through(self, hop: Hop) -> asyncssh.SSHClientConnection:
        """The shared connection to a bastion, opened on first use; its errors become OurFault."""
        task = self._bastions.get(hop)
        if task is None or (task.done() and (task.cancelled() or task.exception() or task.result().is_closed())):
            task = self._bastions[hop] = asyncio.create_task(self._shake_hands(hop, None))
        try:
            return await asyncio.shield(task)
        except TowlineError as error:
            code = error.code if isinstance(error, OurFault) else f"Bastion{error.code}"
            raise OurFault(f"the bastion {hop.text}: {error.message}", error.hint, code=code) from error

    async def _shake_hands(self, hop: Hop, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
        witness = KeyWitness()
        trusted = None
        if hop.known_hosts_file or not hop.config:
            trusted = known_hosts(hop.known_hosts_file, hop.host, hop.port or 22)
        options = _options(hop, trusted, witness)
        # A host that does not answer must not occupy a handshake slot, so the TCP connection comes first.
        # Not with a configuration file, which may change the address, nor behind a bastion, which resolves it.
        sock = None if tunnel or hop.config else await _connected_socket(hop)
        try:
            async with self._handshakes:
                return await asyncssh.connect(hop.host, sock=sock, tunnel=tunnel, **options)
        except Exception as error:
            if sock:
                sock.close()
            raise _translated(error, hop, witness, trusted, tunnel is not None) from error


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


async def close_connection(connection: asyncssh.SSHClientConnection) -> None:
    """Closes gracefully, or aborts if the other side does not answer; never raises."""
    with contextlib.suppress(Exception):
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()


def _options(hop: Hop, trusted: asyncssh.SSHKnownHosts | None, witness: KeyWitness) -> dict[str, Any]:
    """asyncssh's options. Unset ones are left to a named configuration file, never to the worker's own."""
    options: dict[str, Any] = {
        "config": [str(Path(hop.config).expanduser())] if hop.config else None,
        # Prefer ciphers with hardware support: asyncssh handles ChaCha20 packet by packet in Python.
        "encryption_algs": () if hop.config else "^aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        "client_factory": lambda: witness,
        "preferred_auth": "publickey",
        "gss_host": None,
        "x509_trusted_certs": None,
        "connect_timeout": hop.connect_seconds + LOGIN_SECONDS,
        "login_timeout": LOGIN_SECONDS,
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVE_MISSES,
    }
    if trusted is not None:
        options["known_hosts"] = trusted
    if hop.port:
        options["port"] = hop.port
    if hop.username:
        options["username"] = hop.username
    if hop.identity_files:
        options |= {"client_keys": _identities(hop.identity_files), "agent_path": None}
    return options


def _identities(files: tuple[str, ...]) -> list[asyncssh.SSHKeyPair]:
    """Reads the private keys. One may be missing while another exists, as during key rotation."""
    pairs: list[asyncssh.SSHKeyPair] = []
    troubles: list[str] = []
    for name in files:
        path = Path(name).expanduser()
        try:
            pairs += asyncssh.load_keypairs(str(path))
        except FileNotFoundError:
            troubles.append(f"{path} is missing")
        except asyncssh.KeyEncryptionError:
            troubles.append(f"{path} has a passphrase, which cannot be entered here")
        except (OSError, ValueError) as error:
            troubles.append(f"{path} cannot be used: {error}")
    if not pairs:
        hint = "Put the key there, readable for the worker, or name another one as ssh.identityFile."
        raise OurFault(f"no identity file for SSH: {'; '.join(troubles)}", hint, code="IdentityFileUnusable")
    return pairs


def _jump_of_config(hop: Hop) -> ProxyJump | None:
    """The ProxyJump for this host in a named configuration file: shared like any other bastion."""
    if not hop.config:
        return None
    path = Path(hop.config).expanduser()
    if not path.is_file():
        raise OurFault(f"SSH configuration file {path} is missing", code="SshConfigMissing")
    try:
        options = asyncssh.SSHClientConnectionOptions(config=[str(path)], host=hop.host)
    except Exception as error:  # asyncssh reads keys and known hosts here, too
        raise OurFault(f"SSH configuration file {path} cannot be used: {error}", code="SshConfigUnusable") from error
    tunnel = cast("str | None", options.tunnel)
    if not tunnel or tunnel == "none":
        return None
    user, _, place = tunnel.rpartition("@")
    host, _, port = place.partition(":")
    return ProxyJump(host=host, port=int(port or 22), username=user or None)


async def _connected_socket(hop: Hop) -> socket.socket:
    """A TCP connection to the first of the host's addresses that answers; raises Unreachable.

    Each address is tried shortly after the previous one, which continues in parallel (RFC 8305): one that drops packets
    must not use up the time of the others.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(hop.connect_seconds):
            addresses = await loop.getaddrinfo(hop.host, hop.port or 22, type=socket.SOCK_STREAM)
            return await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
    except TimeoutError as error:
        raise Unreachable(f"{hop.text} does not answer within {hop.connect_seconds:g} s") from error
    except OSError as error:
        raise Unreachable(f"{hop.text} cannot be reached: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The system's message for an OSError; asyncio's names the address but not the reason."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        return str(error)
    return os.strerror(error.errno)


def _translated(
    error: Exception, hop: Hop, witness: KeyWitness, trusted: asyncssh.SSHKnownHosts | None, is_tunnelled: bool
) -> TowlineError:
    """Translates an error of a handshake."""
    match error:
        case TowlineError():
            return error
        case asyncssh.HostKeyNotVerifiable() | asyncssh.KeyExchangeFailed() if trusted is not None and (
            witness.shown or "key" in str(error).lower()
        ):
            return host_key_refused(witness, trusted, hop.host, hop.port or 22, hop.known_hosts_file, str(error))
        case asyncssh.HostKeyNotVerifiable():
            return host_key_refused(witness, known_hosts(None), hop.host, hop.port or 22, None, str(error))
        case asyncssh.KeyExchangeFailed():
            return HostRefused(f"{hop.text} and towline have no algorithm in common: {error}", code="NoCommonAlgorithm")
        case asyncssh.PermissionDenied():
            keys = ", ".join(hop.identity_files) or "the worker's own SSH keys"
            hint = f"Add the public key to ~/.ssh/authorized_keys of {hop.username or 'the user'} there."
            return AuthenticationRefused(f"{hop.text} rejects {keys}: {error}", hint)
        case asyncssh.ChannelOpenError() if is_tunnelled and error.code != asyncssh.OPEN_CONNECT_FAILED:
            hint = "Allow TCP forwarding for this user on the bastion (AllowTcpForwarding, PermitOpen)."
            return OurFault(f"the bastion does not forward to {hop.text}: {error}", hint, code="BastionRefused")
        case asyncssh.ChannelOpenError():
            return Unreachable(f"{hop.text} cannot be reached from the bastion: {error}")
        case TimeoutError():
            return Unreachable(f"{hop.text} does not finish the SSH handshake in time")
    return Unreachable(f"{hop.text}: {error or type(error).__name__}")


def _no_session(error: Exception, name: str) -> TowlineError:
    """The error for a host that accepts the login but opens no session."""
    if isinstance(error, asyncssh.ChannelOpenError):
        return HostRefused(f"{name} opens no session: {error}", code="NoSession")
    return Unreachable(f"the connection to {name} broke: {error or type(error).__name__}")
