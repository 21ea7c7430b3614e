"""towline's processes, as its users run them: their environment, commands that end, workers that stay."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import ROOT

TOWLINE = (sys.executable, "-m", "towline")
PATIENCE_SECONDS = 120.0


def environment(folder: Path, address: str, namespace: str = "default", **more: str) -> dict[str, str]:
    """What a process of towline sees: nothing of this machine's own settings, its data and store in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOWLINE_", "TEMPORAL_"))}
    profile = folder / "no-profile.toml"
    profile.touch()
    return kept | {
        "PYTHONPATH": str(ROOT),
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_NAMESPACE": namespace,
        "TEMPORAL_CONFIG_FILE": str(profile),
        "TOWLINE_DATA_DIR": str(folder / "data"),
        "TOWLINE_STORE": str(folder / "store"),
        **more,
    }


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """All that it wrote."""
        return self.out + self.err

    @property
    def deployment_id(self) -> str:
        """The id that `deploy` announced."""
        found = re.search(r"(?:Started|Attached to) (\S+)\.", self.err)
        assert found, self.err
        return found[1]


async def run(*command: str, folder: Path, environ: Mapping[str, str]) -> Done:
    """Runs a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@dataclass
class WorkerProcess:
    """One `towline worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def launch(cls, log: Path, environ: Mapping[str, str], arguments: tuple[str, ...]) -> WorkerProcess:
        """Starts `python ARGUMENTS` without waiting for it."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=log.parent,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        return cls(process, log)

    def kill(self) -> None:
        """SIGKILL: it cannot do anything about it."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: as a machine that is paused, or a laptop that sleeps."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def is_at_work(self) -> bool:
        return not self.has_ended and "at work on" in self.log.read_text()

    def memory(self, line: str = "VmRSS") -> float:
        """MiB that it uses; by `VmHWM` the most that it ever did. 0: it has ended."""
        try:
            shown = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(one.split()[1]) / 1024 for one in shown if one.startswith(f"{line}:")), 0.0)
