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

# The worker's own environment may hold credentials; hooks are to see what they would see on a host.
KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "SHELL", "TMPDIR", "TZ")

# As a module, so that Python keeps it compiled.
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
    """The packaged runner as a file below the user's cache; where that cannot be written, in a folder of this process.

    Nobody else may write there: it runs as the worker's user. Python keeps its compiled form beside it.
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
        """Closes its input, at which it ends by itself; a connected end that does not is killed, the runner is not."""
        self._stdin.close()
        with contextlib.suppress(Exception):
            await self._stdin.wait_closed()
        if not await self._ended():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._ended()

    async def _ended(self) -> bool:
        """Whether it has ended in time. Its output is read until then: asyncio waits for the end of that, too."""
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
    """The same runner as on a host, as a child of this process. The order's `root` says where it works."""

    def __init__(self, path: Path, root: str) -> None:
        """`path` is the runner's file, `root` the prefix of every path; it is created where it is missing."""
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
                start_new_session=True,  # Ctrl-C at the worker is the worker's, not the runner's
            )
        except OSError as error:
            raise HostRefused(f"the local instance in {self._root} cannot be started: {error}") from error
        return _Child(child)
