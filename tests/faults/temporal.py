"""A Temporal server with a file, that can be killed and comes back on the same address."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from towline.devserver import DevServer, dev_server, free_port


class Temporal:
    """The server of one site; up within the `async with` block."""

    def __init__(self, folder: Path) -> None:
        self._db = folder / "temporal.db"
        self._port, self._ui_port = free_port(), free_port()
        self._stack = AsyncExitStack()
        self.server: DevServer | None = None

    async def __aenter__(self) -> Temporal:
        await self._start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def address(self) -> str:
        assert self.server
        return self.server.address

    async def connect(self) -> Client:
        return await Client.connect(self.address, data_converter=pydantic_data_converter)

    def kill(self) -> None:
        """SIGKILL: what was not in its file is gone."""
        assert self.server
        self.server.process.kill()
        self.server.process.wait()

    async def kill_and_restart(self) -> None:
        self.kill()
        await self._start()

    async def _start(self) -> None:
        server = dev_server(db=self._db, port=self._port, ui_port=self._ui_port)
        self.server = await self._stack.enter_async_context(server)
