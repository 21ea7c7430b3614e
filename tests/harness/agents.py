"""towline's agent as a process with a root of its own, and an API server as a process, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.site import Site
from towline.agents.agent_file import packaged_agent
from towline.agents.keys import AgentKeys
from towline.catalogue.repository import Catalogue
from towline.model.catalogue.records import Change


@dataclass
class ApiProcess:
    """`towline api`, to be killed and started again on its port."""

    site: Site
    log: Path
    options: Sequence[str] = ("--no-auth",)
    port: int = 0
    url: str = ""
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "towline", "api", "--port", str(self.port), *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.site.environ, cwd=self.site.folder, stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, self.log.read_text()
        self.url = line.split()[2].decode()
        self.port = int(self.url.rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process and self.process.stdout:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process.stdout.close()
            self.process = None


@contextlib.asynccontextmanager
async def api_server(site: Site, *options: str, name: str = "api") -> AsyncIterator[ApiProcess]:
    """An API server for the block."""
    api = ApiProcess(site, site.folder / f"{name}.log", options or ("--no-auth",))
    await api.start()
    try:
        yield api
    finally:
        api.end()


@dataclass
class AgentProcess:
    """An agent on a host of the name, below `root`. `python` runs it."""

    name: str
    root: Path
    python: str = sys.executable
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.root.with_name(f"{self.name}.agent.log")

    def command(self, *words: str) -> Sequence[str]:
        file = self.root.with_name("towline-agent.py")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(packaged_agent())
        return [self.python, "-I", "-S", str(file), "--root", str(self.root), *words]

    def enroll(self, url: str, token: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = self.command("enroll", "--name", self.name, "--endpoint", url, *more)
        return subprocess.run(words, env={"TOWLINE_TOKEN": token}, capture_output=True, text=True, timeout=60)

    def start(self) -> AgentProcess:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command("run"), env=environ, stdout=log, stderr=log)
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None


async def declare_polled(site: Site, app: str, group: str, *names: str, rollback: bool = False) -> None:
    """Declares a group whose instances are reached by towline's agent."""
    await site.declare(app, group, count=0, rollback=rollback)
    tags = {"group": f"{app}/{group}"}
    values = [{"instanceName": name, "tags": tags, "agent": {}} for name in names]
    await Catalogue(site.client).write([Change(key=f"instance/{one['instanceName']}", value=one) for one in values])


async def enrolled(site: Site, url: str, *names: str) -> list[AgentProcess]:
    """Agents that were invited and enrolled, not yet running."""
    tokens = await AgentKeys(Catalogue(site.client)).invite(names)
    agents = [AgentProcess(name, site.root(name)) for name in names]
    for agent in agents:
        done = await asyncio.to_thread(agent.enroll, url, tokens[agent.name])
        assert done.returncode == 0, done.stderr
    return agents


@contextlib.contextmanager
def running(*agents: AgentProcess) -> Iterator[None]:
    """Runs agents for the block."""
    try:
        for agent in agents:
            agent.start()
        yield
    finally:
        for agent in agents:
            agent.end()
