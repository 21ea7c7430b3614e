"""Resources shared by a worker's transports, and the choice of a transport for a target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from towline.errors import HostRefused
from towline.model.fleet.instance import (
    AgentAccess,
    CodeDeployAgentAccess,
    FakeAccess,
    LocalAccess,
    SshAccess,
    SshSettings,
    Target,
)
from towline.transports.agent import Agents, AgentTransport
from towline.transports.base import Transport
from towline.transports.bootstrap import Runner, packaged_runner
from towline.transports.fake import FakeHosts, FakeTransport
from towline.transports.local import LocalTransport, packaged_runner_file

if TYPE_CHECKING:
    from towline.transports.ssh_connections import SshConnections

MAX_HANDSHAKES = 16
"""Concurrent SSH handshakes in one worker: they are CPU-bound, and sshd limits them as well."""


class TransportPool:
    """One per worker: the runner to send, the shared connections to bastions, the simulated hosts."""

    def __init__(
        self,
        *,
        runner_file: Path | None = None,
        hosts: FakeHosts | None = None,
        max_handshakes: int = MAX_HANDSHAKES,
        ssh_settings: Callable[[Target], Awaitable[SshSettings]] | None = None,
        agents: Agents | None = None,
    ) -> None:
        """`runner_file`: a runner instead of the packaged one; `hosts`: the simulated hosts of `fake` instances.

        `ssh_settings`: called at each connect for the target's current settings; None: the frozen ones.

        `agents`: the hosts that poll this process; None: it is no API server.
        """
        self.ssh_settings = ssh_settings or _as_frozen
        self.hosts = hosts or FakeHosts()
        self.agents = agents
        self._given = runner_file
        self._max_handshakes = max_handshakes
        self._lines: SshConnections | None = None

    @property
    def runner(self) -> Runner:
        """The runner to send to hosts."""
        return Runner.of(self._given.read_bytes()) if self._given else packaged_runner()

    @property
    def runner_file(self) -> Path:
        """The runner as a file on this machine, for local instances."""
        return self._given or packaged_runner_file()

    @property
    def lines(self) -> SshConnections:
        """The worker's SSH connections; asyncssh is imported at the first use (0.25 s)."""
        if self._lines is None:
            from towline.transports.ssh_connections import SshConnections

            self._lines = SshConnections(self._max_handshakes)
        return self._lines

    async def close(self) -> None:
        """Closes the connections to bastions."""
        if self._lines:
            await self._lines.close()

    async def __aenter__(self) -> TransportPool:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def open_transport(target: Target, pool: TransportPool) -> Transport:
    """A transport for one attempt at this target; it connects in `start_or_attach`."""
    return _OPEN[type(target.access)](target, pool)


def _ssh(target: Target, pool: TransportPool) -> Transport:
    from towline.transports.ssh import SshTransport

    return SshTransport(pool.runner, pool.lines, target.name, lambda: pool.ssh_settings(target))


def _local(target: Target, pool: TransportPool) -> Transport:
    assert isinstance(target.access, LocalAccess)
    return LocalTransport(pool.runner_file, target.access.root)


def _agent(target: Target, pool: TransportPool) -> Transport:
    return AgentTransport(pool.runner, pool.agents, target.name)


def _codedeploy_agent(target: Target, pool: TransportPool) -> Transport:
    raise HostRefused(f"{target.name} runs AWS's agent, which answers no questions", code="NoQuestions")


def _fake(target: Target, pool: TransportPool) -> Transport:
    assert isinstance(target.access, FakeAccess)
    return FakeTransport(target.name, pool.hosts, target.access)


_OPEN: Mapping[type, Callable[[Target, TransportPool], Transport]] = {
    SshAccess: _ssh,
    LocalAccess: _local,
    AgentAccess: _agent,
    CodeDeployAgentAccess: _codedeploy_agent,
    FakeAccess: _fake,
}


async def _as_frozen(target: Target) -> SshSettings:
    return target.ssh or SshSettings()
