"""A host that lies: a runner that prints what a file has, and counts the connections that it was given."""

from __future__ import annotations

from pathlib import Path

_PRINTS = """
import os, sys

def main():
    sys.stdin.buffer.readline()
    with open({connections!r}, "ab") as out:
        out.write(b".")
    with open({lines!r}, "rb") as file:
        data = file.read()
    try:
        while data:
            data = data[os.write(1, data[:1 << 20]):]
        if {stays!r}:
            sys.stdin.buffer.read()
    except OSError:
        pass
"""


class Liar:
    """The runner of `runner_file` prints `data`, and then ends or (`stays`) keeps the connection."""

    def __init__(self, folder: Path, data: bytes, *, stays: bool = True) -> None:
        self.runner_file = folder / "liar.py"
        self._connections = folder / "connections"
        (folder / "lines").write_bytes(data)
        names = {"connections": str(self._connections), "lines": str(folder / "lines"), "stays": stays}
        self.runner_file.write_text(_PRINTS.format(**names))

    @property
    def connections(self) -> int:
        """How often it was connected to."""
        return self._connections.stat().st_size if self._connections.exists() else 0
