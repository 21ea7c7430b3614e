"""Instances on the worker's own machine: the runner as a child process, below a root prefix."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import tempfile
from pathlib import Path

import platformdirs

from towline.errors import HostRefused, Unreachable
from towline.transports.base import CHUNK_BYTES
from towline.transports.bootstrap import packaged_runner
from towline.transports.process import Process, ProcessTransport, Reader

# The worker's environment may contain credentials; hooks get the same variables as on a host.
KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "SHELL", "TMPDIR", "TZ")

# As a module, so that Python caches its bytecode.
_START = """\
import sys
sys.path.insert(0, sys.argv[1])
runner = __import__(sys.argv[2])
del sys.path[0]
sys.exit(runner.main())
"""

_END_SECONDS = 2.0


@functools.cache
def packaged_runner_file() -> Path:
    """The packaged runner as a file in the user's cache, or in a temporary folder if that is not writable.

    Only the worker's user may write there, since it runs as that user. Python keeps its bytecode beside it.
    """
    source, name = packaged_runner().source, f"towline_runner_{packaged_runner().sha256[:16]}.py"
    try:
        folder = platformdirs.user_cache_path("towline") / "runner"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o022:
            raise PermissionError(f"{folder} can be written by others")
        return _kept(folder / name, source)
    except OSError:
        return _kept(Path(tempfile.mkdtemp(prefix="towline-runner-")) / name, source)


def _kept(file: Path, source: bytes) -> Path:
    if not file.exists() or file.read_bytes() != source:
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as fresh:
            fresh.write(source)
        Path(fresh.name).chmod(0o644)  # the folder is private
        Path(fresh.name).rename(file)
    return file


class _Child(Process):
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._stdin = process.stdin
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    async def status(self) -> int | None:
        status = await self._process.wait()
        return status if status >= 0 else None

    async def close(self) -> None:
        """Closes standard input, at which the connected end exits; otherwise it is killed. The runner continues."""
        self._stdin.close()
        with contextlib.suppress(Exception):
            await self._stdin.wait_closed()
        if not await self._ended():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._ended()

    async def _ended(self) -> bool:
        """Whether it ended in time. Drains its output meanwhile: asyncio waits for the end of that, too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(_drain(self.stdout), _drain(self.stderr), self._process.wait())
        return self._process.returncode is not None

    def broken(self, error: Exception) -> Unreachable:
        return Unreachable(f"the local runner's pipe broke: {error or type(error).__name__}")


async def _drain(reader: Reader) -> None:
    while await reader.read(CHUNK_BYTES):
        pass


class LocalTransport(ProcessTransport):
    """The same runner as on a host, as a child process. The order's `root` is its root directory."""

    def __init__(self, path: Path, root: str) -> None:
        """`path` is the runner's file, `root` the prefix of every path, created if missing."""
        super().__init__(None)
        self._path = path
        self._root = Path(root)

    async def _exec(self) -> Process:
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        command = [sys.executable, "-I", "-S", "-c", _START, str(self._path.parent), self._path.stem]
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,  # Ctrl-C must only reach the worker
            )
        except OSError as error:
            raise HostRefused(f"the local instance in {self._root} cannot be started: {error}") from error
        return _Child(child)
