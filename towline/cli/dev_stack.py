"""A server and a worker in one process tree: what `towline up` does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import importlib
import logging
import logging.handlers
import os
from collections.abc import Iterator
from pathlib import Path

from towline import errors
from towline.cli.api_process import api_process
from towline.cli.output import info, result
from towline.devserver import DevServer, dev_server
from towline.model.deployment.web_ui import deployments_link
from towline.settings import Settings, read_settings

LOOK_SECONDS = 1.0


async def stand_up(
    data_dir: Path | None, ip: str, port: int | None, ui_port: int | None, api_port: int | None = None
) -> int:
    """Runs both, and the API with `api_port`, until a signal ends the worker; then ends the server and waits for it."""
    os.umask(0o077)  # Temporal's database, the logs and the store hold what deployments print: for this user alone
    settings = read_settings()
    if data_dir:
        settings = dataclasses.replace(settings, data_dir=data_dir)
    folder = settings.data_dir
    with alone_in(folder):
        _make_store(settings)
        _log_to(folder / "worker.log")
        async with dev_server(
            db=folder / "temporal.db", ip=ip, port=port, ui_port=ui_port, log=folder / "temporal.log"
        ) as server:
            settings = dataclasses.replace(settings, environ={**settings.environ, **server.environment()})
            async with contextlib.AsyncExitStack() as stack:
                api = ""
                if api_port is not None:
                    environ = {**settings.environ, "TOWLINE_STORE": settings.worker_store}
                    api = await stack.enter_async_context(api_process(api_port, environ, folder / "api.log"))
                _introduce(server, folder, api)
                await _work(settings, server)
            info("Ending; Temporal needs some seconds.")
    return 0


async def _work(settings: Settings, server: DevServer) -> None:
    """Runs the worker until it ends; ends it when the server dies under it."""
    work = asyncio.ensure_future(importlib.import_module("worker").run(settings))
    while not work.done():
        await asyncio.wait({work}, timeout=LOOK_SECONDS)
        if server.has_ended() and not work.done():
            work.cancel()
            await asyncio.wait({work})
            raise errors.TemporalUnavailable(
                f"the Temporal server ended with status {server.process.returncode}.",
                f"Its output is in {settings.data_dir / 'temporal.log'}.",
            )
    work.result()


def _log_to(file: Path) -> None:
    """The worker's log goes to a file (5 MB, and one before it): the terminal is for people."""
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=5_000_000, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _make_store(settings: Settings) -> None:
    """The store is there from the first moment: clients tell by it that it is on their machine."""
    if not settings.store:
        Path(settings.worker_store).mkdir(parents=True, exist_ok=True)


def _introduce(server: DevServer, folder: Path, api: str) -> None:
    result(f"Temporal  {server.address}   (for other terminals: export TEMPORAL_ADDRESS={server.address})")
    result(f"Web UI    {deployments_link(server.ui, 'default')}")
    if api:
        result(f"API       {api}   (for the AWS CLI: export AWS_ENDPOINT_URL_CODEDEPLOY={api})")
    result(f"Data      {folder}   (logs: worker.log, temporal.log)")
    info("Ctrl-C ends all of it. Next, in another terminal: towline apply -f towline.yaml")


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds a data directory: two servers on one SQLite file would destroy each other's data. Raises InvalidInput."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.InvalidInput(
            f"{folder} cannot be used: {error.strerror}.", "Choose another with --data-dir."
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise errors.InvalidInput(
                f"another `towline up` uses {folder}.", "End that one, or choose another with --data-dir."
            ) from error
        folder.chmod(0o700)  # Temporal's database and the logs: who reads them reads every deployment
        yield
    finally:
        os.close(lock)
