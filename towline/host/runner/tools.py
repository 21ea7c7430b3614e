"""Programs of this host that the runner calls."""

import os

from towline.host.runner.errors import StepFailed
from towline.host.runner.text import as_text


def find_tool(name):
    for directory in [*os.environ.get("PATH", os.defpath).split(":"), "/usr/sbin", "/sbin"]:
        path = directory + "/" + name
        if directory and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def need_tool(name, purpose):
    if not find_tool(name):
        raise StepFailed("Install: %s is asked for in permissions, but this host has no %s" % (purpose, name))


def run_tool(command):
    """None if it ended well, else its exit status and last words."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300
        )
    except (OSError, subprocess.SubprocessError) as error:
        return as_text(str(error))
    if done.returncode == 0:
        return None
    return "exit %d: %s" % (done.returncode, as_text(done.stderr[-500:]).strip())
