"""The demo's own towline: a folder, ports that nobody uses, a server with a worker, and their end.

Everything lies in one folder below the system's temporary one. At the end it is removed, except the report page.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from examples.demo import processes
from towline.devserver import free_port, is_free

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INSTANCES = [f"web-{n:02d}" for n in range(1, 13)]
PREPARED = set(INSTANCES[:6])
"""Only these hosts were made ready for release 2.0; that nobody thought of the others is what the demo is about."""

NEEDS = {"1.0": ["host", "port"], "2.0": ["host", "port", "currency"]}
START_SECONDS = 60.0
REPORT = "report.html"
LOG = "up.log"
WORKER_LOG = "data/worker.log"


class DemoFailed(Exception):
    """Something went otherwise than it should; the text is for the person who looks on."""


@dataclass
class Site:
    """A running `towline up` with the demo's bundles and hosts in `folder`."""

    folder: Path
    environ: dict[str, str]
    ports: dict[str, int]
    web_ui: str
    api: str
    up: subprocess.Popen[bytes]

    @property
    def report(self) -> Path:
        """The page that stays when all else is gone."""
        return self.folder / REPORT

    def towline(self, *words: str) -> int:
        """Runs one command where the person can see it, and returns its exit status."""
        command = subprocess.Popen(
            [sys.executable, "-m", "towline", *words],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
        )
        try:
            return command.wait()
        except BaseException:
            # It draws on the terminal, so it must have the time to give that back. Ctrl-C has reached it already.
            command.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(3)
            raise

    def ended(self) -> bool:
        """Whether server and worker are gone."""
        return self.up.poll() is not None


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A site for as long as the block lasts; then nothing of it runs any more. Raises DemoFailed."""
    folder = Path(tempfile.mkdtemp(prefix="towline-demo-")).resolve()
    kept = {REPORT}
    try:
        ports = _ports()
        _prepare(folder, ports)
        environ = _environment(folder, ports)
        up = _stand_up(folder, environ, ports)
        instances = {name: ports[name] for name in INSTANCES}
        yield Site(folder, environ, instances, environ["TOWLINE_UI"], f"http://127.0.0.1:{ports['api']}", up)
    except DemoFailed as error:
        kept.add(LOG)
        _keep_worker_log(folder)
        raise DemoFailed(f"{error}\nWhat server and worker said: {folder / LOG}") from error
    finally:
        _clear(folder, kept)


def bundle(folder: Path, release: str) -> None:
    """Makes a revision: the shop, and the file that says which release it is."""
    target = folder / f"shop-{release}"
    shutil.copytree(HERE / "shop", target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "release.json").write_text(json.dumps({"version": release, "needs": NEEDS[release]}, indent=2) + "\n")


def _prepare(folder: Path, ports: dict[str, int]) -> None:
    """Bundles, towline.yaml, and what an administrator has set up on each host."""
    for release in NEEDS:
        bundle(folder, release)
    shutil.copy(HERE / "towline.yaml", folder)
    (folder / "tmp").mkdir()
    for name in INSTANCES:
        settings: dict[str, str | int] = {"host": name, "port": ports[name]}
        if name in PREPARED:
            settings["currency"] = "EUR"
        file = folder / "hosts" / name / "etc/shop/shop.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings, indent=2) + "\n")


def _ports() -> dict[str, int]:
    """Free ports: a block below those that systems give to connections, so that none is taken before it is used.

    Where to look first depends on the process, so that two demos that begin together do not choose the same.
    """
    names = [*INSTANCES, "temporal", "ui", "api"]
    for turn in range(100):
        first = 20001 + (os.getpid() + turn) % 100 * 100
        if all(is_free("127.0.0.1", first + n) for n in range(len(names))):
            return {name: first + n for n, name in enumerate(names)}
    return {name: free_port() for name in names}


def _environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """What commands and worker see: the demo's Temporal and nothing of the person's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "TOWLINE_", "AWS_"))}
    (folder / "temporal.toml").touch()
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "TEMPORAL_ADDRESS": f"127.0.0.1:{ports['temporal']}",
        "TEMPORAL_NAMESPACE": "default",
        "TEMPORAL_CONFIG_FILE": str(folder / "temporal.toml"),
        "TMPDIR": str(folder / "tmp"),  # also tells our processes from others: see processes.py
        "TOWLINE_DATA_DIR": str(folder / "data"),
        "TOWLINE_UI": f"http://127.0.0.1:{ports['ui']}",
    }


def _stand_up(folder: Path, environ: dict[str, str], ports: Mapping[str, int]) -> subprocess.Popen[bytes]:
    """Starts `towline up` and waits until its worker is at work. Raises DemoFailed with the log's end."""
    log = folder / LOG
    options = {"--port": ports["temporal"], "--ui-port": ports["ui"], "--api-port": ports["api"]}
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "towline", "up", *(str(word) for option in options.items() for word in option)],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us, who then end it in order
        )
    end = time.monotonic() + START_SECONDS
    worker_log = folder / WORKER_LOG
    # The server's address is printed earlier; on a slow machine a command would then find no worker that answers.
    while not (worker_log.exists() and "at work on" in worker_log.read_text(errors="replace")):
        if up.poll() is not None or time.monotonic() > end:
            raise DemoFailed(f"`towline up` did not come up:\n{_tail(log)}")
        time.sleep(0.1)
    return up


def _clear(folder: Path, kept: set[str]) -> None:
    """Ends what runs, and removes the folder but for what is kept. A further signal does not disturb that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = processes.end_all(folder / "tmp")
    for entry in folder.iterdir():
        if entry.name not in kept:
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    if left:
        raise DemoFailed(f"these processes would not end: {', '.join(map(str, left))}")


def _keep_worker_log(folder: Path) -> None:
    """Adds the worker's own log to the one that is kept."""
    with contextlib.suppress(FileNotFoundError), (folder / LOG).open("a") as log:
        log.write((folder / WORKER_LOG).read_text(errors="replace"))


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def is_terminal(stream: TextIO) -> bool:
    """Whether colour is wanted there."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
