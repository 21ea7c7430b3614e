"""towline and its peers on the same fleet, with the same bundles, in one run.

    python -m tests.bench.peers [-n HOSTS] [--rounds R] [--only NAME …]

Every round has a bundle of its own (5 MB in 200 files, five one-line scripts), which each of them brings to all hosts
at once, from S3 to the scripts' end. Each does it as its users would, and is as parallel as it can be:

- towline: `towline deploy`, by a worker that is at work already; with locks, journal, checks and report.
- asyncssh: one Python process, one exec a host of a shell script that does it all (plain_asyncssh.py).
- ssh: the same script by `xargs -P HOSTS ssh`.
- pyinfra: `files.download` with the digest, `server.shell` for the rest; all hosts at once, none waits for another.
- ansible: `get_url` with the digest, `unarchive`, `copy`, `command` in a loop; forks = hosts, pipelining, no facts,
  SSH connections that persist, strategy free (no host waits for another).

The time is that of the whole command, from its start to its exit. After each, every host is asked whether it has this
round's files and ran five scripts more. The peers live in an environment of their own (`--environment`), made when it
is not there yet. The first round is a warm-up, and is not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bundle import DESTINATION, HOOKS, make_bundle
from tests.bench.plain_asyncssh import WORK, by_hand
from tests.bench.rollout import standing, towline_deploy
from tests.bench.s3 import put, s3_process
from tests.harness.fleet.box import Fleet

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "towline-bench/peers"
PACKAGES = ("ansible-core==2.19.14", "pyinfra==3.10.0")
MARK = f"{DESTINATION}/0/000.bin"


@dataclass
class Round:
    """One bundle, and where it is."""

    number: int
    url: str
    sha256: str
    first_file: bytes

    def work(self, peer: str) -> str:
        """The folder that a peer may use on each host."""
        return f"/opt/{peer}-{self.number}"


@dataclass
class Bench:
    """The fleet, and what the peers need to reach it."""

    fleet: Fleet
    folder: Path
    environment: Path

    @property
    def addresses(self) -> list[str]:
        return [host.address for host in self.fleet]

    @property
    def ssh_options(self) -> str:
        return (
            f"-i {self.fleet.key} -o UserKnownHostsFile={self.fleet.known_hosts} -o IdentitiesOnly=yes -o BatchMode=yes"
        )

    def data(self, peer: str, this: Round) -> dict[str, object]:
        """What the playbooks are told."""
        told = {"url": this.url, "sha256": this.sha256, "work": this.work(peer)}
        return {**told, "destination": DESTINATION, "scripts": list(HOOKS)}

    def run(self, *words: str, **environ: str) -> None:
        """Runs a peer to its end. Raises with what it said where it failed."""
        done = subprocess.run(
            words, env=os.environ | environ, capture_output=True, text=True, check=False, cwd=self.folder
        )
        assert done.returncode == 0, (
            f"{words[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )


def towline(_: Bench, this: Round) -> None:
    towline_deploy(this.number)


def plain_asyncssh(bench: Bench, this: Round) -> None:
    by_hand(bench.fleet, this.url, this.sha256)


def plain_ssh(bench: Bench, this: Round) -> None:
    command = shlex.quote(f"URL={shlex.quote(this.url)}; SHA256={this.sha256}; {WORK}")
    hosts = " ".join(bench.addresses)
    count = len(bench.addresses)
    bench.run(
        "sh", "-c", f"printf '%s\\n' {hosts} | xargs -P {count} -I HOST ssh {bench.ssh_options} root@HOST {command}"
    )


def pyinfra(bench: Bench, this: Round) -> None:
    keys = {"ssh_key": str(bench.fleet.key), "ssh_known_hosts_file": str(bench.fleet.known_hosts), "ssh_user": "root"}
    data = keys | {"ssh_strict_host_key_checking": "yes"} | bench.data("pyinfra", this)
    inventory = bench.folder / "inventory.py"
    inventory.write_text(f"hosts = ({bench.addresses!r}, {data!r})\n")
    program = str(bench.environment / "bin/pyinfra")
    bench.run(program, "-y", "--no-wait", str(inventory), str(HERE / "peers_pyinfra.py"))


def ansible(bench: Bench, this: Round) -> None:
    (bench.folder / "hosts").write_text("".join(f"{address}\n" for address in bench.addresses))
    settings = {
        "FORKS": str(len(bench.addresses)),
        "PIPELINING": "1",
        "STRATEGY": "free",
        "REMOTE_USER": "root",
        "PRIVATE_KEY_FILE": str(bench.fleet.key),
        "SSH_ARGS": f"{bench.ssh_options} -o ControlMaster=auto -o ControlPersist=60s",
        "SSH_CONTROL_PATH_DIR": str(bench.folder / "cp"),
        "INTERPRETER_PYTHON": "/usr/bin/python3",
        "HOME": str(bench.folder / "ansible"),
    }
    bench.run(
        str(bench.environment / "bin/ansible-playbook"),
        *("-i", str(bench.folder / "hosts"), "-e", json.dumps(bench.data("ansible", this))),
        str(HERE / "peers_playbook.yml"),
        **{f"ANSIBLE_{name}": value for name, value in settings.items()},
    )


PEERS: dict[str, Callable[[Bench, Round], None]] = {
    "towline": towline,
    "asyncssh": plain_asyncssh,
    "ssh": plain_ssh,
    "pyinfra": pyinfra,
    "ansible": ansible,
}


def timed(name: str, bench: Bench, this: Round) -> float:
    """Seconds; raises where a host has not got all of it."""
    scripts = [_scripts_run(bench.fleet, host.name) for host in bench.fleet]
    began = time.perf_counter()
    PEERS[name](bench, this)
    seconds = time.perf_counter() - began
    for host, before in zip(bench.fleet, scripts, strict=True):
        assert host.path(MARK).read_bytes() == this.first_file, f"{name} did not install on {host.name}"
        ran = _scripts_run(bench.fleet, host.name) - before
        # towline runs the last revision's ApplicationStop, and there is none the first time.
        assert ran in ((4, 5) if name == "towline" else (5,)), f"{name} ran {ran} scripts on {host.name}"
        host.path(MARK).unlink()
    return seconds


def _scripts_run(fleet: Fleet, name: str) -> int:
    file = fleet[name].path("/tmp/hooks")
    return len(file.read_text().splitlines()) if file.exists() else 0


def make_environment(folder: Path) -> None:
    """The peers' own environment, made once."""
    mark = folder / "installed"
    if mark.exists() and mark.read_text() == " ".join(PACKAGES):
        return
    print(f"making {folder} with {', '.join(PACKAGES)} ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([str(folder / "bin/pip"), "install", "-qq", "--disable-pip-version-check", *PACKAGES], check=True)
    mark.write_text(" ".join(PACKAGES))


def measure(bench: Bench, names: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds by name, one for each counted round."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        bundle = make_bundle(number)
        url = put(f"bundle-{number}.tgz", bundle)
        this = Round(number, url, hashlib.sha256(bundle).hexdigest(), _first_file(bundle))
        for name in names:
            times[name].append(timed(name, bench, this))
        told = ", ".join(f"{name} {times[name][-1]:.2f} s" for name in names)
        print(f"  {told}{' (warm-up)' if number == 0 else ''}", flush=True)
    return {name: seconds[1:] for name, seconds in times.items()}


def _first_file(bundle: bytes) -> bytes:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        file = tar.extractfile("files/0/000.bin")
        assert file
        return file.read()


def table(times: dict[str, list[float]]) -> str:
    """Medians, and how many times the others' they are."""
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    bases = [name for name in ("asyncssh", "towline") if name in medians]
    lines = [f"{'':10}{'median':>9}{'fastest':>9}" + "".join(f"{'of ' + base:>13}" for base in bases)]
    for name, median in medians.items():
        ratios = "".join(f"{median / medians[base]:11.2f} x" for base in bases)
        lines.append(f"{name:10}{median:7.2f} s{min(times[name]):7.2f} s{ratios}")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", type=int, default=20, help="hosts (default 20)")
    parser.add_argument("--rounds", type=int, default=3, help="that are counted (default 3)")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--environment", type=Path, default=CACHE, help=f"the peers' own (default {CACHE})")
    options = parser.parse_args()
    make_environment(options.environment)
    with (
        Fleet(options.n) as fleet,
        s3_process(f"10.213.{fleet.number}.1"),
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        standing(fleet, Path(folder), "CodeDeployDefault.AllAtOnce"),
    ):
        times = measure(Bench(fleet, Path(folder), options.environment), options.only, options.rounds)
    print(f"{options.n} hosts, {os.cpu_count()} cores, Python {sys.version.split()[0]}, median of {options.rounds}:")
    print(table(times))


if __name__ == "__main__":
    main()
