"""The ways in which work on a host ends early."""

import errno

from towline.host.runner.constants import FULL, UNKNOWN_ERROR
from towline.host.runner.text import as_text


class Refused(Exception):
    """Nothing was begun: the order cannot be taken here."""

    def __init__(self, code, message, hint=""):
        Exception.__init__(self, message)
        self.code, self.message, self.hint = code, message, hint


class StepFailed(Exception):
    """A lifecycle event failed. `code` is the agent's number, `log` the tail of the event's script log."""

    def __init__(self, message, code=UNKNOWN_ERROR, script="", log=""):
        Exception.__init__(self, message)
        self.message, self.code, self.script, self.log = message, code, script, log


class Halted(Exception):
    """Somebody asked to stop, or nobody asks any more. `in_script`: a running hook was ended for it."""

    def __init__(self, message, in_script=False):
        Exception.__init__(self, message)
        self.message, self.in_script = message, in_script


class Disconnected(Exception):
    """The caller has left the connection; the work goes on without it."""


def why(error):
    """An OSError in a few words, without Python's number."""
    return error.strerror or str(error)


def cannot_store(what, error):
    """The refusal of an order for which the host cannot keep what it must."""
    if error.errno in FULL:
        hint = "Make room on the host (df -h for space, df -i for inodes), then deploy again."
    elif error.errno == errno.EROFS:
        hint = "Its file system is read-only: see `dmesg` and /etc/fstab on the host."
    else:
        hint = "See who may write there on the host: ls -ld, lsattr -d and mount."
    return Refused("CannotStore", "%s cannot be written: %s" % (as_text(what), why(error)), hint)
