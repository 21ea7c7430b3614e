"""What a worker's transports share, and the choice of a transport for a target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from towline.model.fleet.instance import FakeAccess, LocalAccess, SshAccess, SshSettings, Target
from towline.transports.base import Transport
from towline.transports.bootstrap import Runner, packaged_runner
from towline.transports.fake import FakeHosts, FakeTransport
from towline.transports.local import LocalTransport, packaged_runner_file

if TYPE_CHECKING:
    from towline.transports.ssh import SshLines

MAX_HANDSHAKES = 16
"""SSH handshakes at the same time in one worker: they are work for the processor, and sshd limits them as well."""


class TransportPool:
    """One per worker: the runner that is sent, the shared lines to bastions, the played hosts."""

    def __init__(
        self,
        *,
        runner_file: Path | None = None,
        hosts: FakeHosts | None = None,
        max_handshakes: int = MAX_HANDSHAKES,
        ssh_settings: Callable[[Target], Awaitable[SshSettings]] | None = None,
    ) -> None:
        """`runner_file`: another runner than the packaged one; `hosts`: what `fake` instances are played on.

        `ssh_settings`: asked at each connect how a target is reached now; None: as the target says.
        """
        self.ssh_settings = ssh_settings or _as_frozen
        self.hosts = hosts or FakeHosts()
        self._given = runner_file
        self._max_handshakes = max_handshakes
        self._lines: SshLines | None = None

    @property
    def runner(self) -> Runner:
        """The runner that is sent to hosts."""
        return Runner.of(self._given.read_bytes()) if self._given else packaged_runner()

    @property
    def runner_file(self) -> Path:
        """The same as a file of this machine, for local instances."""
        return self._given or packaged_runner_file()

    @property
    def lines(self) -> SshLines:
        """The worker's SSH lines; asyncssh is imported at the first use (0.25 s)."""
        if self._lines is None:
            from towline.transports.ssh import SshLines

            self._lines = SshLines(self._max_handshakes)
        return self._lines

    async def close(self) -> None:
        """Lets go of the lines to bastions."""
        if self._lines:
            await self._lines.close()

    async def __aenter__(self) -> TransportPool:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def open_transport(target: Target, pool: TransportPool) -> Transport:
    """A transport for one attempt at this target; it reaches for the host at `start_or_attach`."""
    return _OPEN[type(target.access)](target, pool)


def _ssh(target: Target, pool: TransportPool) -> Transport:
    from towline.transports.ssh import SshTransport

    return SshTransport(pool.runner, pool.lines, target.name, lambda: pool.ssh_settings(target))


def _local(target: Target, pool: TransportPool) -> Transport:
    assert isinstance(target.access, LocalAccess)
    return LocalTransport(pool.runner_file, target.access.root)


def _fake(target: Target, pool: TransportPool) -> Transport:
    assert isinstance(target.access, FakeAccess)
    return FakeTransport(target.name, pool.hosts, target.access)


_OPEN: Mapping[type, Callable[[Target, TransportPool], Transport]] = {
    SshAccess: _ssh,
    LocalAccess: _local,
    FakeAccess: _fake,
}


async def _as_frozen(target: Target) -> SshSettings:
    return target.ssh or SshSettings()
