"""The API server as a process beside `towline up`: on loopback, and without signatures, as Temporal's dev server is."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from towline import errors
from towline.devserver import end_with_parent

END_SECONDS = 15.0


@contextlib.asynccontextmanager
async def api_process(port: int, environ: Mapping[str, str], log: Path) -> AsyncIterator[str]:
    """Runs `towline api` for the block, and gives its address. Raises InvalidInput where it cannot start."""
    command = (sys.executable, "-m", "towline", "api", "--no-auth", "--port", str(port))
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    assert process.stdout
    try:
        line = (await process.stdout.readline()).decode()
        if not line:
            raise errors.InvalidInput(f"the API cannot be served on port {port}.", f"Its output is in {log}.")
        yield line.split()[2]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
