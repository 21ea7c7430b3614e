"""Tells one host from another, so that the control side notices one host under two names."""

import os

from towline.host.runner.files import read_bytes
from towline.host.runner.processes import boot_id

MACHINE_SALT = b"towline: which host is this"


def machine_of(host):
    """A text that two answers share where they come from one host, and from one root on it, since its last boot.

    Of /etc/machine-id, which cloned hosts may share, of the boot and of the root's place; hashed, since machine-id is
    not to leave the host (machine-id(5)).
    """
    import hashlib

    info = os.stat("/")
    parts = [read_bytes("/etc/machine-id") or b"", boot_id().encode(), b"%d %d" % (info.st_dev, info.st_ino)]
    parts.append(os.fsencode(os.path.realpath(host.root or "/")))
    return hashlib.sha256(b"\0".join([MACHINE_SALT, *parts])).hexdigest()[:32]
