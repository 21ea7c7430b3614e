"""Installs and starts the runner on a host, in one exec and without a round trip if it is installed already.

The command finds a Python, becomes root, and runs a few lines (`BOOTSTRAP`) that import the runner from a root-owned
folder under its SHA-256, so that Python's bytecode cache makes the start fast. If the file is missing or has another
SHA-256, those lines request it over the connection, verify it and store it. (With the C part of `hashlib`, which takes
0.3 ms to import instead of 3.) The arguments contain no secret.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from dataclasses import dataclass

from towline.host.join import runner_source

STATE_DIR = "/var/lib/towline"

# Must parse on Python 3.0 and newer, up to the version check. No single quotes: deploy/towline-launcher has the text in
# single quotes (a test compares them). Standard input is read unbuffered, so that the runner gets the rest.
BOOTSTRAP = """\
import os, sys
def refuse(code, message, hint=""):
    import json
    print(json.dumps({"kind": "refused", "code": code, "message": message, "hint": hint}))
    sys.exit(0)
if sys.version_info < (3, 6):
    newer = "Install a newer python3 on the host, or name one as ssh.python."
    refuse("PythonTooOld", "Python 3.6 or newer is needed, %s is %s" % (sys.executable, sys.version.split()[0]), newer)
def private(path):
    os.makedirs(path, 0o700, exist_ok=True)
    found = os.lstat(path)
    if found.st_uid != os.geteuid() or found.st_mode & 0o170022 != 0o040000:
        refuse("StateDirUnsafe", "%s must be a folder of uid %d that nobody else can write" % (path, os.geteuid()))
def sha256(data):
    for name in ("_sha256", "_sha2", "hashlib"):
        try:
            return __import__(name).sha256(data).hexdigest()
        except ImportError:
            pass
def is_kept(path):
    try:
        with open(path, "rb") as file:
            return sha256(file.read()) == digest
    except FileNotFoundError:
        return False
def fetch(path):
    import json
    stdin = open(0, "rb", 0, closefd=False)
    stdin.readline()
    print(json.dumps({"kind": "need", "what": "runner"}), flush=True)
    rest = json.loads(stdin.readline().decode() or "{}").get("size", 0)
    parts = []
    while rest > 0:
        part = stdin.read(min(rest, 1 << 16))
        if not part:
            sys.exit(0)
        parts.append(part)
        rest -= len(part)
    source = b"".join(parts)
    if sha256(source) != digest:
        refuse("RunnerDamaged", "the runner that arrived is not the one that was announced")
    fresh = "%s.%d" % (path, os.getpid())
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(source)
        out.flush()
        os.fsync(out.fileno())
    os.rename(fresh, path)
digest, state = sys.argv[1], "/var/lib/towline"
folder, name = state + "/runner", "towline_runner_" + digest
try:
    private(state)
    private(folder)
    if not is_kept("%s/%s.py" % (folder, name)):
        fetch("%s/%s.py" % (folder, name))
except OSError as error:
    refuse("StateDirUnusable", "the runner cannot be kept in %s: %s" % (folder, error))
sys.path.insert(0, folder)
runner = __import__(name)
del sys.path[0]
sys.exit(runner.main())
"""

# `$1` is the runner's SHA-256, `$2` the bootstrap; not `$0`, which a shell puts in front of its error messages.
# The printed line is an event of the host protocol.
_FIND_PYTHON = (
    'for p in {candidates}; do p=$(command -v "$p" 2>/dev/null) && exec {become}"$p" -I -S -c "$2" "$1"; done; '
    'echo "{{\\"kind\\":\\"refused\\",\\"code\\":\\"NoPython\\",'
    '\\"message\\":\\"{missing}\\",'
    '\\"hint\\":\\"Install python3 on the host, or name it as ssh.python.\\"}}"'
)


@dataclass(frozen=True)
class Runner:
    """The program that is sent to hosts, and the SHA-256 that is its name there."""

    source: bytes
    sha256: str

    @classmethod
    def of(cls, source: bytes) -> Runner:
        """The runner with this source."""
        return cls(source, hashlib.sha256(source).hexdigest())


@functools.cache
def packaged_runner() -> Runner:
    """The runner that belongs to this version of towline."""
    return Runner.of(runner_source().encode())


def start_command(sha256: str, *, python: str | None = None, launcher: str | None = None, become_root: bool) -> str:
    """The command to exec on a host: one line, so that any login shell can parse it.

    Args:
        sha256: of the runner.
        python: the interpreter on the host; None: python3, else RHEL's platform-python.
        launcher: a root-owned launcher on the host (deploy/towline-launcher) to run instead.
        become_root: use `sudo -n`; False for root, or for a user with sufficient permissions.

    >>> start_command("ab", launcher="/usr/local/sbin/towline-launcher", become_root=True)
    "exec /bin/sh -c 'exec sudo -n /usr/local/sbin/towline-launcher ab'"
    """
    become = "sudo -n " if become_root else ""
    if launcher:
        return f"exec /bin/sh -c {shlex.quote(f'exec {become}{shlex.quote(launcher)} {sha256}')}"
    candidates = shlex.quote(python) if python else "python3 /usr/libexec/platform-python"
    # named only if plain: the text goes through two shells
    named = f" ({python})" if python and re.fullmatch("[A-Za-z0-9/._-]+", python) else ""
    missing = (
        f"the interpreter that ssh.python names is not there{named}" if python else f"no Python 3; sought: {candidates}"
    )
    script = _FIND_PYTHON.format(candidates=candidates, become=become, missing=missing)
    return f"exec /bin/sh -c {shlex.quote(script)} towline {sha256} {shlex.quote(f'exec({BOOTSTRAP!r})')}"
