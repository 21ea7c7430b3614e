"""The fleet in a box: hosts on this machine that are as good as real ones for SSH, hooks and power cuts.

    with Fleet(hosts=3, bastion=True) as fleet:
        fleet["web-01"].run("uname -n")

Each host has its own network namespace and address, its own root file system (an overlay in memory over this
machine's) and its own sshd with its own key. With a bastion, the hosts lie in a network that only the bastion reaches.
Everything is named after the fleet's number, and a folder in /dev/shm marks it until it is gone, so that `down` cleans
up after a crash as well, and several fleets stand side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from tests.harness.fleet.relay import Relay, RelayProcess
from towline.model.fleet.instance import ProxyJump, SshAccess, SshSettings, Target

MEMORY = Path("/dev/shm")
PREFIX = "towline-fleet-"
BOOT = Path(__file__).with_name("boot.py")
USER = "deploy"
# Not seen by hosts: what a host writes there must not have been there before, and nothing of ours is to leak in.
HIDDEN = ("root", "home", "opt", "srv", "mnt", "var/tmp", *Path(__file__).parts[1:2])
TOOLS = ("ip", "nsenter", "sshd", "sudo")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def missing() -> str:
    """Why there can be no fleet on this machine; empty: there can."""
    if os.geteuid() != 0:
        return "the fleet in a box needs root"
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    lacking = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    if lacking:
        return (
            f"the fleet in a box needs {', '.join(lacking)} (apt-get install iproute2 util-linux openssh-server sudo)"
        )
    filesystems = Path("/proc/filesystems").read_text().split()
    return "" if "overlay" in filesystems else "the fleet in a box needs overlayfs in the kernel"


@dataclass
class Host:
    """One host. `host_key` is its public key; `run` and `read` look at it from inside."""

    name: str
    address: str
    netns: str
    link: str  # this machine's end of its cable
    folder: Path
    host_key: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    line: Relay | None = None

    @property
    def relay(self) -> Relay:
        """Its line through the relay, to be made bad. Only in a fleet with `relayed=True`."""
        assert self.line, "Fleet(..., relayed=True) puts a relay between hosts and bridge"
        return self.line

    def run(self, command: str, *, check: bool = True, user: str = "root") -> str:
        """Runs a shell command on the host, without SSH; returns its output. Raises CalledProcessError."""
        words = ["sh", "-c", command] if user == "root" else ["su", user, "-s", "/bin/sh", "-c", command]
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "-i", "-r", "-w", "env", "-i"]
        environment = [f"PATH=/usr/local/bin:/usr/bin:/bin:{SBIN}", "HOME=/root"]
        done = subprocess.run([*enter, *environment, *words], capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command!r} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def path(self, path: str) -> Path:
        """A path of the host as this machine reaches it while the host is up."""
        return Path(f"/proc/{self.pid}/root/{path.lstrip('/')}")

    def read(self, path: str) -> str:
        """A file's text; FileNotFoundError where there is none."""
        return self.path(path).read_text()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file of root's, with its folders."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def unplug(self) -> None:
        """Takes the cable out: packets are lost, nobody is told."""
        _ip(f"link set {self.link} down")

    def plug_in(self) -> None:
        """Puts the cable back."""
        _ip(f"link set {self.link} up")

    def cut_connections(self) -> None:
        """Ends every SSH connection to the host at once; the host and what it runs go on."""
        for pid in self._pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if pid != self.pid and words[0].startswith(b"sshd:"):
                    os.kill(pid, signal.SIGKILL)

    def power_off(self) -> None:
        """A power cut: every process is gone at once, and so is what was only in memory."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _until(lambda: not self._pids(), f"{self.name} to be off")
        self.pid = 0

    def _pids(self) -> list[int]:
        found = subprocess.run(["ip", "netns", "pids", self.netns], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    @property
    def spec(self) -> dict[str, object]:
        """What boot.py needs to know."""
        folders = {name: str(self.folder / name) for name in ("upper", "work", "root", "log")}
        names = {"name": self.name, "netns": self.netns, "addresses": self.addresses}
        return {**names, **folders, "is_relayed": self.line is not None}


class Fleet:
    """Hosts `web-01`, `web-02`, … and, if asked for, `bastion`. Up with the `with` block, or by `up` and `down`."""

    def __init__(
        self, hosts: int = 3, *, bastion: bool = False, sshd: str = "", bastion_sshd: str = "", relayed: bool = False
    ) -> None:
        """`sshd`, `bastion_sshd`: lines for their sshd_config, in force before the usual ones.

        `relayed`: each host's line goes through a relay that can be told to be bad (relay.py); the bastion's does not.
        """
        self.number = 0
        self.has_bastion = bastion
        self._is_relayed = relayed
        self._relay: RelayProcess | None = None
        self._count = hosts
        self._sshd = {"bastion": bastion_sshd}
        self._sshd_of_hosts = sshd
        self.hosts: dict[str, Host] = {}
        self._keepers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Fleet:
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(self, *exc: object) -> None:
        self.down()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return (host for host in self.hosts.values() if host.name != "bastion")

    @property
    def folder(self) -> Path:
        """Where the fleet lies; it is there exactly as long as the fleet."""
        return MEMORY / f"{PREFIX}{self.number}"

    @property
    def key(self) -> Path:
        """The private key that root and the user `deploy` of every host accept."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Every host's key."""
        return self.folder / "known_hosts"

    def up(self) -> Fleet:
        """Builds and boots everything; returns when every sshd answers."""
        reason = missing()
        assert not reason, reason
        self._take_number()
        self._lay_out()
        self._write_keys()
        self._plug_together()
        self._start_relay()
        self.boot(*self.hosts.values())
        (self.folder / "fleet.json").write_text(json.dumps({name: host.pid for name, host in self.hosts.items()}))
        return self

    def boot(self, *hosts: Host) -> None:
        """Starts hosts that are off; returns when their sshd answers."""
        keeper = subprocess.Popen(
            [_system_python(), "-I", "-S", str(BOOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C at the tests is not a power cut
        )
        self._keepers.append(keeper)
        assert keeper.stdin and keeper.stdout
        with keeper.stdin, keeper.stdout:
            keeper.stdin.write(json.dumps([host.spec for host in hosts]) + "\n")
            keeper.stdin.flush()
            answer = json.loads(keeper.stdout.readline())
        assert not answer["trouble"], answer["trouble"]
        for name, pid in answer["pids"].items():
            self.hosts[name].pid = pid
        for host in hosts:
            _until(lambda host=host: _listens(host), f"{host.name}'s sshd")

    def down(self) -> None:
        """Ends and removes everything, whatever state it is in."""
        if self._relay:
            self._relay.close()
            self._relay = None
        if self.number:
            tear_down(self.number)
            self.number = 0
        while self._keepers:
            self._keepers.pop().wait(20)

    def settings(self, name: str, **changes: object) -> SshSettings:
        """How towline reaches a host as root, through the bastion if there is one."""
        host = self.hosts[name]
        keys = {"identity_file": str(self.key), "known_hosts_file": str(self.known_hosts)}
        jump = ProxyJump(host=self.hosts["bastion"].address, username=USER) if self.has_bastion else None
        fields = {"host": host.address, "username": "root", **keys, "proxy_jump": jump, "python": "/usr/bin/python3"}
        return SshSettings.model_validate({**fields, **changes})

    def target(self, name: str, **changes: object) -> Target:
        """A host as a target; `changes` are of its SSH settings."""
        settings = self.settings(name, **changes)
        return Target(name=name, address=self.hosts[name].address, access=SshAccess(**dict(settings)))

    def ssh_command(self, host: Host) -> str:
        """How a person logs in."""
        options = f"-i {self.key} -o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes"
        if self.has_bastion and host.name != "bastion":
            jump = f"ssh {options} -W %h:%p {USER}@{self.hosts['bastion'].address}"
            options += f" -o ProxyCommand='{jump}'"
        return f"ssh {options} root@{host.address}"

    def _take_number(self) -> None:
        """The first number that no other fleet has; the folder is the claim."""
        for number in range(1, 200):
            with contextlib.suppress(FileExistsError):
                (MEMORY / f"{PREFIX}{number}").mkdir(mode=0o755)
                self.number = number
                return
        raise AssertionError("200 fleets are up; `python -m tests.harness.fleet down` ends those that were left behind")

    def _lay_out(self) -> None:
        n = self.number
        names = [f"web-{i:02d}" for i in range(1, self._count + 1)]
        inner = 214 if self.has_bastion else 213
        for i, name in enumerate(names, start=10):
            self._add(name, i, {"eth0": f"10.{inner}.{n}.{i}"})
        if self.has_bastion:
            self._add("bastion", 2, {"eth0": f"10.213.{n}.2", "eth1": f"10.214.{n}.2"})

    def _add(self, name: str, i: int, addresses: dict[str, str]) -> None:
        host = Host(
            name=name,
            address=addresses["eth0"],
            netns=f"tlf{self.number}-{name}",
            link=f"tlf{self.number}h{i}",
            folder=self.folder / name,
            addresses={interface: f"{address}/24" for interface, address in addresses.items()},
        )
        self.hosts[name] = host
        for folder in ("upper", "work", "root"):
            (host.folder / folder).mkdir(parents=True)

    def _write_keys(self) -> None:
        """One login key for all, a host key for each, accounts and sshd's configuration on each."""
        login = asyncssh.generate_private_key("ssh-ed25519")
        self.key.touch(mode=0o600)
        self.key.write_bytes(login.export_private_key())
        public = login.export_public_key().decode()
        known = []
        for host in self.hosts.values():
            key = asyncssh.generate_private_key("ssh-ed25519")
            host.host_key = key.export_public_key().decode().strip()
            known.append(f"{host.address} {host.host_key}\n")
            _furnish(host, public, key.export_private_key(), self._sshd.get(host.name, self._sshd_of_hosts))
        self.known_hosts.write_text("".join(known))

    def _plug_together(self) -> None:
        """Bridges, cables and network namespaces: one call of `ip` for all."""
        n = self.number
        lines = [f"link add tlf{n}a type bridge", f"addr add 10.213.{n}.1/24 dev tlf{n}a", f"link set tlf{n}a up"]
        if self.has_bastion:  # the inner network has no address here: only the bastion gets in, and nothing leaks out
            lines += [f"link add tlf{n}b type bridge", f"link set tlf{n}b up", f"route add unreachable {_inner(n)}"]
        if self._is_relayed:
            lines.append(f"netns add {self._relay_netns}")
        for host in self.hosts.values():
            lines.append(f"netns add {host.netns}")
            inner = self.has_bastion and host.name != "bastion"
            bridge = f"tlf{n}{'b' if inner else 'a'}"
            if self._is_relayed and host.name != "bastion":
                lines += _relayed_cable(host.link, host.netns, self._relay_netns, bridge)
            else:
                lines += _cable(host.link, host.netns, "eth0", bridge)
            if host.name == "bastion":
                lines += _cable(f"{host.link}i", host.netns, "eth1", f"tlf{n}b")
        _ip(*lines)

    @property
    def _relay_netns(self) -> str:
        return f"tlf{self.number}-relay"

    def _start_relay(self) -> None:
        if not self._is_relayed:
            return
        lines = {host.name: (f"{host.link}h", f"{host.link}b") for host in self}
        self._relay = RelayProcess(self._relay_netns, lines, _system_python())
        for host in self:
            host.line = Relay(self._relay, host.name)


def tear_down(number: int) -> None:
    """Ends the fleet with this number, also one whose process is gone."""
    prefix = f"tlf{number}"
    names = [name for name in os.listdir("/run/netns") if name.startswith(f"{prefix}-")] if _has_netns() else []
    for attempt in range(200):
        pids = [pid for name in names for pid in _pids_in(name)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if not pids:
            break
        time.sleep(0.01 if attempt < 50 else 0.1)
    links = [name for name in os.listdir("/sys/class/net") if name in (f"{prefix}a", f"{prefix}b")]
    links += [name for name in os.listdir("/sys/class/net") if name.startswith(f"{prefix}h")]
    ends = [f"route del unreachable {_inner(number)}"] if f"{prefix}b" in links else []
    _ip(*ends, *[f"link del {name}" for name in links], *[f"netns del {name}" for name in names], force=True)
    shutil.rmtree(MEMORY / f"{PREFIX}{number}", ignore_errors=True)


def fleets() -> list[int]:
    """The numbers of all fleets on this machine, those of crashed processes included."""
    return sorted(int(path.name.removeprefix(PREFIX)) for path in MEMORY.glob(f"{PREFIX}*"))


def _furnish(host: Host, login_key: str, host_key: bytes, sshd: str) -> None:
    """Writes what a host has that this machine has not."""
    upper = host.folder / "upper"
    for name in HIDDEN:
        (upper / name).mkdir(parents=True, exist_ok=True)
        os.setxattr(upper / name, "trusted.overlay.opaque", b"y")
    if Path("/var/lib/towline").exists():  # gone, not empty: a fresh host has none
        (upper / "var/lib").mkdir(parents=True)
        os.mknod(upper / "var/lib/towline", 0o600 | stat.S_IFCHR, os.makedev(0, 0))
    (upper / "root").chmod(0o700)
    (upper / "var/tmp").chmod(0o1777)
    _put(upper / "etc/ssh/fleet/host_key", host_key, 0o600)
    _put(upper / "etc/ssh/fleet/sshd_config", f"{sshd}\n{SSHD_CONFIG}".encode())
    passwd = Path("/etc/passwd").read_text() + f"{USER}:x:4242:4242::/home/{USER}:/bin/bash\n"
    _put(upper / "etc/passwd", passwd.encode())
    _put(upper / "etc/group", (Path("/etc/group").read_text() + f"{USER}:x:4242:\n").encode())
    _put(upper / "etc/shadow", (Path("/etc/shadow").read_text() + f"{USER}:*:19000:0:99999:7:::\n").encode(), 0o640)
    _put(upper / "root/.ssh/authorized_keys", login_key.encode(), 0o600)
    _put(upper / f"home/{USER}/.ssh/authorized_keys", login_key.encode(), 0o600)
    for path in (f"home/{USER}", f"home/{USER}/.ssh", f"home/{USER}/.ssh/authorized_keys"):
        os.chown(upper / path, 4242, 4242)
    _put(upper / "etc/hosts", f"127.0.0.1 localhost {host.name}\n".encode())
    _put(upper / "etc/resolv.conf", b"")  # a host that asks for a name learns at once that there is no such server


SSHD_CONFIG = """\
HostKey /etc/ssh/fleet/host_key
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
PrintMotd no
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""


def _put(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _inner(number: int) -> str:
    """The network behind a fleet's bastion."""
    return f"10.214.{number}.0/24"


def _cable(link: str, netns: str, inside: str, bridge: str) -> list[str]:
    return [f"link add {link} type veth peer name {inside} netns {netns}", f"link set {link} master {bridge} up"]


def _relayed_cable(link: str, netns: str, relay: str, bridge: str) -> list[str]:
    """Two cables, from the host to the relay and from there to the bridge; no frame is larger than a real one."""
    to_host, to_bridge = f"{link}h", f"{link}b"
    return [
        f"link add {to_host} netns {relay} type veth peer name eth0 netns {netns}",
        f"link add {link} type veth peer name {to_bridge} netns {relay}",
        f"link set {link} gso_max_segs 1 master {bridge} up",
    ]


def _ip(*lines: str, force: bool = False) -> None:
    words = ["ip", *(["-force"] if force else []), "-batch", "-"]
    done = subprocess.run(words, input="\n".join(lines), capture_output=True, text=True, check=False)
    assert force or done.returncode == 0, f"{done.stderr} in\n" + "\n".join(lines)


def _pids_in(netns: str) -> list[str]:
    done = subprocess.run(["ip", "netns", "pids", netns], capture_output=True, text=True, check=False)
    return done.stdout.split()


def _has_netns() -> bool:
    return Path("/run/netns").is_dir()


def _listens(host: Host) -> bool:
    """Whether sshd listens, as the host's own kernel sees it (a host behind a bastion cannot be reached from here)."""
    try:
        table = Path(f"/proc/{host.pid}/net/tcp").read_text()
    except OSError as error:
        raise AssertionError(f"{host.name} ended: {(host.folder / 'log').read_text()}") from error
    return ":0016 00000000:0000 0A" in table


def _system_python() -> str:
    return "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def _until(condition: object, what: str, seconds: float = 20.0) -> None:
    assert callable(condition)
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.005)
