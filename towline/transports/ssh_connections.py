"""SSH connections: to hosts, and one shared connection per bastion.

asyncssh implements the protocol; this module decides which keys to trust and translates errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import asyncssh
from aiohappyeyeballs import start_connection

from towline.errors import AuthenticationRefused, HostRefused, OurFault, TowlineError, Unreachable
from towline.model.fleet.instance import SshSettings
from towline.transports.hostkeys import KeyWitness, host_key_refused, known_hosts
from towline.transports.ssh_hops import Hop, connection_options, hop_to, hop_to_bastion, proxy_jump_of_config

NEXT_ADDRESS_SECONDS = 0.25  # what RFC 8305 recommends
CLOSE_SECONDS = 2.0


class SshConnections:
    """A worker's SSH connections: those to bastions are shared and kept, those to hosts belong to the caller."""

    def __init__(self, max_handshakes: int) -> None:
        """`max_handshakes`: the maximum of concurrent ones, over all hosts and bastions."""
        self._handshakes = asyncio.Semaphore(max_handshakes)
        self._bastions: dict[Hop, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def connect(self, name: str, settings: SshSettings) -> asyncssh.SSHClientConnection:
        """A new connection to an instance. Raises towline's errors: Unreachable, AuthenticationRefused, …"""
        hop = hop_to(name, settings)
        jump = settings.proxy_jump or proxy_jump_of_config(hop)
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
        options = connection_options(hop, trusted, witness)
        # A host that does not answer must not occupy a handshake slot, so the TCP connection comes first.
        # Not with a configuration file, which may change the address, nor behind a bastion, which resolves it.
        sock = None if tunnel or hop.config else await connected_socket(hop)
        try:
            async with self._handshakes:
                return await asyncssh.connect(hop.host, sock=sock, tunnel=tunnel, **options)
        except Exception as error:
            if sock:
                sock.close()
            raise _translated(error, hop, witness, trusted, tunnel is not None) from error


async def close_connection(connection: asyncssh.SSHClientConnection) -> None:
    """Closes gracefully, or aborts if the other side does not answer; never raises."""
    with contextlib.suppress(Exception):
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()


async def connected_socket(hop: Hop) -> socket.socket:
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
