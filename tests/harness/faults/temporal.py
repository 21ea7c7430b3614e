"""A Temporal server with a file, that can be killed and comes back on the same address."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.client import Client

from towline.devserver import DevServer, dev_server, free_port
from towline.temporal import DATA_CONVERTER


class Temporal:
    """The server of one site; up within the `async with` block."""

    def __init__(self, folder: Path) -> None:
        self._db = folder / "temporal.db"
        self._port, self._ui_port = free_port(), free_port()
        self._stack = AsyncExitStack()
        self.server: DevServer | None = None
        self._lock = asyncio.Lock()

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
        return await Client.connect(self.address, data_converter=DATA_CONVERTER)

    def kill(self) -> None:
        """SIGKILL: what was not in its file is gone."""
        assert self.server
        self.server.process.kill()
        self.server.process.wait()

    async def kill_and_restart(self) -> None:
        async with self._lock:  # one after the other, where several faults meet
            self.kill()
            await self._start()

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP for so long: nobody is answered, and no connection breaks."""
        async with self._lock:
            assert self.server
            self.server.process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.server.process.send_signal(signal.SIGCONT)

    async def _start(self) -> None:
        server = dev_server(db=self._db, port=self._port, ui_port=self._ui_port)
        self.server = await self._stack.enter_async_context(server)
