"""Hosts that poll with towline's agent: the same runner as everywhere, over a conversation with the agent."""

from __future__ import annotations

from typing import Protocol

from towline.agents.conversation import Conversation
from towline.errors import OurFault, Unreachable
from towline.transports.base import Order
from towline.transports.bootstrap import Runner
from towline.transports.process import Process, ProcessTransport


class Agents(Protocol):
    """The hosts that poll this process (`towline/agents/service.py`)."""

    async def connect(self, name: str, runner: str) -> Conversation:
        """Open a conversation with a host. Raises HostRefused, Unreachable, TemporalUnavailable."""

    def close(self, name: str, conversation: Conversation) -> None:
        """End a conversation."""


class _Stdin:
    def __init__(self, conversation: Conversation) -> None:
        self.write = conversation.write
        self.drain = conversation.drain


class _Stdout:
    def __init__(self, conversation: Conversation) -> None:
        self.read = conversation.read


class _Stderr:
    """The end of standard error, which comes with the exit status."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._is_read = False

    async def read(self, most: int) -> bytes:
        """All of it at once, then nothing."""
        await self._conversation.status()
        text = "" if self._is_read else self._conversation.stderr
        self._is_read = True
        return text.encode()


class _Carried(Process):
    """A process on a host, whose streams its agent carries."""

    def __init__(self, agents: Agents, name: str, conversation: Conversation) -> None:
        self._agents, self._name, self._conversation = agents, name, conversation
        self.stdin, self.stdout, self.stderr = _Stdin(conversation), _Stdout(conversation), _Stderr(conversation)

    async def status(self) -> int | None:
        return await self._conversation.status()

    async def close(self) -> None:
        self._agents.close(self._name, self._conversation)

    def broken(self, error: Exception) -> Unreachable:
        return error if isinstance(error, Unreachable) else Unreachable(f"the agent's conversation broke: {error!r}")


class AgentTransport(ProcessTransport):
    """One conversation with the agent of one host."""

    def __init__(self, runner: Runner, agents: Agents | None, name: str) -> None:
        """`agents` None: this process is no API server, so that no host polls it."""
        super().__init__(runner)
        self._digest, self._agents, self._name = runner.sha256, agents, name
        self._conversation: Conversation | None = None

    async def start_or_attach(self, order: Order) -> None:
        """See Transport. An agent that works below a directory of its own says so when it opens the conversation."""
        self._conversation = await self._given_agents().connect(self._name, self._digest)
        root = self._conversation.root
        await super().start_or_attach({**order, "root": root, "profile": False} if root else order)

    async def _exec(self) -> Process:
        assert self._conversation, "see start_or_attach"
        return _Carried(self._given_agents(), self._name, self._conversation)

    def _given_agents(self) -> Agents:
        if self._agents is None:
            raise OurFault(f"{self._name} polls an API server, and this worker is none", "Start one: towline api")
        return self._agents
