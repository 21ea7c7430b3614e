"""A bad line on purpose: a relay between a host's cable and the bridge that delays, loses and stalls frames, and heals.

    with Fleet(3, relayed=True) as fleet:
        fleet["web-01"].relay.set(delay_ms=100, loss_percent=5)      # each way: 200 ms there and back
        fleet["web-02"].relay.set(stalled=True)                      # no reset, no data: nobody is told
        fleet["web-01"].relay.heal()

It does what `tc netem` would, which not every kernel has. One process serves all hosts of a fleet, from a network
namespace without addresses, so that no frame finds a way around it. Which frames are lost is drawn from the seed, the
host and the direction: the n-th frame of a line has the same fate each time. The upper half is what tests use, the
lower half the process itself, standard library only: `python3 -I -S relay.py LINES` inside that namespace.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import random
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

TO_HOST, FROM_HOST = "to_host", "from_host"
PERFECT = {"delay_ms": 0.0, "loss_percent": 0.0, "stalled": False, "stall_after_bytes": 0, "one_way": "", "seed": 0}

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
LARGEST_FRAME = 1 << 17


class RelayProcess:
    """The process that relays for one fleet. It ends with the process that started it, and with its fleet."""

    def __init__(self, netns: str, lines: dict[str, tuple[str, str]], python: str) -> None:
        """`lines`: by host, the names of its two ends in the namespace: the host's and the bridge's."""
        own = [python, "-I", "-S", str(Path(__file__)), json.dumps(lines)]
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{netns}", *own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lock = threading.Lock()
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"

    def tell(self, host: str, settings: dict[str, object] | None) -> dict[str, int]:
        """Changes a host's line, or only asks (None). Returns its counters once the change is in force."""
        with self._lock:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps([host, settings]) + "\n")
            self._process.stdin.flush()
            answer: dict[str, int] = json.loads(self._process.stdout.readline())
            return answer

    def close(self) -> None:
        """Ends it: all lines are dead then."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)


class Relay:
    """One host's line through the relay."""

    def __init__(self, process: RelayProcess, host: str) -> None:
        self._process = process
        self._host = host

    def set(self, **settings: object) -> None:
        """How the line is from now on; what is not named is perfect.

        delay_ms: each frame is late by so much, in each direction.
        loss_percent, seed: so many of a hundred frames are lost, drawn with the seed.
        stalled: nothing passes; nobody is told.
        stall_after_bytes: stalled, once so many bytes more have gone to the host.
        one_way: all this only for frames `to_host` or `from_host`.
        """
        assert settings.keys() <= PERFECT.keys(), settings
        self._process.tell(self._host, {**PERFECT, **settings})

    def heal(self) -> None:
        """A perfect line again. What was lost meanwhile is for the hosts to send again."""
        self.set()

    @property
    def counts(self) -> dict[str, int]:
        """`passed`, `lost` (dice and stall), `bytes_to_host` since the fleet came up; `stalled` is 1 or 0."""
        return self._process.tell(self._host, None)


# ── the process ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Line:
    """One host's line: two ends, the settings, the frames that are under way."""

    def __init__(self, host: str, host_end: str, bridge_end: str) -> None:
        self.host = host
        self.ends = {TO_HOST: open_end(bridge_end), FROM_HOST: open_end(host_end)}  # by where its frames come from
        self.counts = {"passed": 0, "lost": 0, "bytes_to_host": 0}
        self.settings: dict[str, object] = dict(PERFECT)
        self.dice: dict[str, random.Random] = {}
        self.change(PERFECT)

    def change(self, settings: dict[str, object]) -> None:
        self.settings = settings
        self.dice = {way: random.Random(f"{settings['seed']} {self.host} {way}") for way in self.ends}
        after = settings["stall_after_bytes"]
        self.stall_at = self.counts["bytes_to_host"] + int(str(after)) if after else None

    @property
    def is_stalled(self) -> bool:
        reached = self.stall_at is not None and self.counts["bytes_to_host"] >= self.stall_at
        return bool(self.settings["stalled"]) or reached

    def delay_of(self, way: str) -> float | None:
        """How many seconds the next frame that way is late; None: it is lost."""
        if self.settings["one_way"] not in ("", way):
            return 0.0
        is_lost = self.dice[way].random() * 100 < float(str(self.settings["loss_percent"]))
        return None if is_lost or self.is_stalled else float(str(self.settings["delay_ms"])) / 1000

    def send(self, way: str, frame: bytes) -> None:
        """Puts a frame on the other end. A full or a dead cable loses it, as cables do."""
        other = self.ends[FROM_HOST if way == TO_HOST else TO_HOST]
        with contextlib.suppress(OSError):
            other.send(frame)
            self.counts["passed"] += 1


def open_end(interface: str) -> socket.socket:
    """All that comes out of an interface, with the kernel's note on checksums that are still to be filled in."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    end.bind((interface, ETH_P_ALL))
    return end


class Switch:
    """All lines of a fleet, and the clock of the frames that are late."""

    def __init__(self, lines: dict[str, Line]) -> None:
        self.lines = lines
        self.late: list[tuple[float, int, Line, str, bytes]] = []
        self.number = 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        for line in lines.values():
            for way, end in line.ends.items():
                self.selector.register(end, selectors.EVENT_READ, (line, way))

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            wait = max(0.0, self.late[0][0] - time.monotonic()) if self.late else None
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    if not self.obey():
                        return
                else:
                    self.take(*key.data)
            while self.late and self.late[0][0] <= time.monotonic():
                _, _, line, way, frame = heapq.heappop(self.late)
                line.send(way, frame)

    def obey(self) -> bool:
        """One command of the process that started us; False at the end."""
        text = sys.stdin.readline()
        if not text:
            return False
        host, settings = json.loads(text)
        line = self.lines[host]
        if settings is not None:
            line.change(settings)
        print(json.dumps({**line.counts, "stalled": int(line.is_stalled)}), flush=True)
        return True

    def take(self, line: Line, way: str) -> None:
        """The frames that have come from one end."""
        for _ in range(64):
            try:
                frame = line.ends[way].recv(LARGEST_FRAME)
            except OSError:  # none left, or the cable is out
                return
            delay = line.delay_of(way)
            if delay is None:
                line.counts["lost"] += 1
                continue
            if way == TO_HOST:
                line.counts["bytes_to_host"] += len(frame)
            if delay:
                self.number += 1
                heapq.heappush(self.late, (time.monotonic() + delay, self.number, line, way, frame))
            else:
                line.send(way, frame)


def main() -> None:
    """The process: lines from its argument, commands on standard input."""
    names = json.loads(sys.argv[1])
    ups = [f"link set {end} up" for ends in names.values() for end in ends]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(ups), text=True, check=True)
    lines = {host: Line(host, *ends) for host, ends in names.items()}
    print("ready", flush=True)
    Switch(lines).run()


if __name__ == "__main__":
    main()
