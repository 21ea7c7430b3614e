"""Boots hosts of the fleet in a box: `python3 -I -S boot.py`. Standard library only, root only.

Each host is a process of its own in a network namespace that is there already, with own mount, pid and uts namespaces,
on an overlay over this machine's file system; sshd is its process 1, so that killing that one is a power cut. One
Python process boots all of them, by system calls rather than by programs: a start of each would take longer than the
host. Reads a line, prints a line with the process ids as this machine sees them, and stays until the hosts are off.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Host = dict[str, Any]

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x20000000,
    0x40000000,
)
NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE, PIVOT_ROOT = {"x86_64": (56, 155), "aarch64": (220, 41)}[platform.machine()]
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    as_bytes = [value.encode() if value else None for value in (source, target, kind)]
    checked(LIBC.mount(*as_bytes, ctypes.c_ulong(flags), data.encode() if data else None), "mount on " + target)


def enter_network(name: str) -> None:
    fd = os.open("/run/netns/" + name, os.O_RDONLY)
    checked(LIBC.setns(fd, CLONE_NEWNET), "setns " + name)
    os.close(fd)


def build_root(host: Host) -> None:
    """The host's file system below host["root"], and from then on the only one."""
    root = host["root"]
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={host['upper']},workdir={host['work']}")
    mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV)
    for path, mode in (("/run", "755"), ("/tmp", "1777"), ("/dev", "755")):
        mount("tmpfs", root + path, "tmpfs", MS_NOSUID, "mode=" + mode)
    for name in DEVICES:
        open(root + "/dev/" + name, "w").close()
        mount("/dev/" + name, root + "/dev/" + name, None, MS_BIND)
    os.mkdir(root + "/dev/shm", 0o1777)
    os.mkdir(root + "/dev/pts")
    mount("devpts", root + "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", root + "/dev/ptmx")
    os.symlink("/proc/self/fd", root + "/dev/fd")
    os.mkdir(root + "/run/sshd", 0o755)
    os.chdir(root)
    checked(LIBC.syscall(PIVOT_ROOT, b".", b"."), "pivot_root")
    checked(LIBC.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def network_up(host: Host) -> None:
    lines = ["link set lo up"]
    for interface, address in host["addresses"].items():
        # a relay is to see frames of the size that a real cable has
        frames = "gso_max_segs 1" if host["is_relayed"] else ""
        lines += [f"addr replace {address} dev {interface}", f"link set {interface} {frames} up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines).encode(), check=True)


def be_host(host: Host) -> None:
    """Process 1 of the host's own namespaces; becomes its sshd."""
    enter_network(host["netns"])
    network_up(host)
    checked(LIBC.sethostname(host["name"].encode(), len(host["name"])), "sethostname")
    log = os.open(host["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    build_root(host)
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDWR)
    for target, fd in ((0, nothing), (1, log), (2, log)):
        os.dup2(fd, target)
    os.execv("/usr/sbin/sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/fleet/sshd_config"])


def boot(host: Host) -> tuple[int, int]:
    """Returns the host's process 1 as seen from outside, and a descriptor that tells why it failed or ends."""
    reader, writer = os.pipe()  # closed by exec
    pid = LIBC.syscall(CLONE, NEW_NAMESPACES | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        try:
            be_host(host)
        except Exception as error:
            os.write(writer, f"{host['name']}: {error}\n".encode())
        finally:
            os._exit(1)
    os.close(writer)
    return pid, reader


def main() -> None:
    """Boots the hosts, and stays to take note of their end: this machine's process 1 may not."""
    started = {host["name"]: boot(host) for host in json.loads(sys.stdin.readline())}
    troubles = [os.read(reader, 4096).decode() for _, reader in started.values()]
    print(json.dumps({"pids": {name: pid for name, (pid, _) in started.items()}, "trouble": "".join(troubles)}))
    nothing = os.open("/dev/null", os.O_RDWR)
    sys.stdout.flush()
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


main()
