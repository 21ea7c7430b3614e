"""The environment that hook scripts see."""

import os
import select
import time

from towline.host.runner.constants import PROFILE_SECONDS
from towline.host.runner.quick_signal import signal
from towline.host.runner.tools import find_tool

# What belongs to the connection or the worker, and no script should see: the agent is a service and has no such thing.
OF_CONNECTION = ("SSH_", "SUDO_", "XDG_", "TEMPORAL_", "TOWLINE_")

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_FILE")

COERCED = ("C.UTF-8", "C.utf8", "UTF-8")

NOT_FOR_SCRIPTS = (*SECRETS, "MAIL", "TERM", "OLDPWD", "PWD", "SHLVL", "_")


def own_environment():
    """The runner's environment, without what no script should see."""
    if os.environ.get("LC_CTYPE") in COERCED and os.environ.get("LANG", "C") in ("C", "POSIX", ""):
        os.environ.pop("LC_CTYPE")  # Python's own doing, where it was started without a locale
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OF_CONNECTION) and name not in NOT_FOR_SCRIPTS
    }


def profile_environment(environment):
    """The environment as /etc/profile makes it: AWS's agent is started so, and scripts have come to rely on it."""
    shell = find_tool("bash")
    if not shell or not os.path.exists("/etc/profile"):
        return environment
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            nothing = os.open("/dev/null", os.O_RDWR)
            for fd, number in ((nothing, 0), (writing, 1), (nothing, 2)):
                os.dup2(fd, number)
            source = "set -a; . /etc/profile >/dev/null 2>&1; exec env -0"
            os.execve(shell, [shell, "--norc", "-c", source], environment)
        finally:
            os._exit(127)
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        data = read_until(output.fileno(), time.monotonic() + PROFILE_SECONDS)
    if data is None:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pairs = [os.fsdecode(item).partition("=") for item in (data or b"").split(b"\0") if b"=" in item]
    return {key: value for key, _, value in pairs if key not in NOT_FOR_SCRIPTS} or environment


def read_until(fd, deadline):
    """All that comes to the end of file, or None where that takes too long."""
    data = b""
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(fd, 65536)
        if not piece:
            return data
        data += piece
    return None
