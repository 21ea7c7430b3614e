"""The environment that hook scripts see."""

import os
import select
import time

from towline.host.runner.constants import PROFILE_BYTES, PROFILE_SECONDS, SERVICE_PATH
from towline.host.runner.processes import family, kill_all
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


def plain_environment():
    """What a service has before the profile: nothing that root's login shell has set decides what hooks see."""
    import pwd

    user = pwd.getpwuid(os.geteuid())
    environment = {name: os.environ[name] for name in os.environ if name in ("LANG", "TZ") or name.startswith("LC_")}
    return dict(
        environment, PATH=SERVICE_PATH, HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name, SHELL="/bin/sh"
    )


def profile_environment(stopped):
    """(environment, warning) as /etc/profile makes it: AWS's agent is started so, and scripts have come to rely on it.

    `stopped()` ends the wait. Where the profile does not come to its end the plain environment is taken, with a
    warning.
    """
    plain = plain_environment()
    shell = find_tool("bash")
    if not shell or not os.path.exists("/etc/profile"):
        return plain, ""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            nothing = os.open("/dev/null", os.O_RDWR)
            for fd, number in ((nothing, 0), (writing, 1), (nothing, 2)):
                os.dup2(fd, number)
            source = "set -a; . /etc/profile >/dev/null 2>&1; exec env -0"
            os.execve(shell, [shell, "--norc", "--noprofile", "-c", source], plain)
        finally:
            os._exit(127)
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        data, trouble = read_until(output.fileno(), time.monotonic() + PROFILE_SECONDS, stopped)
    if data is None:
        kill_all(pid, family(pid))
    os.waitpid(pid, 0)
    pairs = [os.fsdecode(item).partition("=") for item in (data or b"").split(b"\0") if b"=" in item]
    found = {key: value for key, _, value in pairs if key not in NOT_FOR_SCRIPTS}
    if found:
        return found, ""
    return plain, "/etc/profile %s: scripts run without what it sets" % (trouble or "ends the shell that reads it")


def read_until(fd, deadline, stopped):
    """(all that comes to the end of file, ""), or (None, why not) where that is late, too much or not wanted."""
    data = b""
    while len(data) <= PROFILE_BYTES:
        if select.select([fd], [], [], 0.2)[0]:
            piece = os.read(fd, 65536)
            if not piece:
                return data, ""
            data += piece
        if stopped():
            return None, "was not waited for"
        if time.monotonic() >= deadline:
            return None, "has not ended within %d seconds" % PROFILE_SECONDS
    return None, "makes an environment of more than %d bytes" % PROFILE_BYTES
