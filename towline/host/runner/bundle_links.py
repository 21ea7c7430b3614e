"""Follows the symbolic links of a bundle by its list of members: the one implementation, for hosts and for the checks
before a deployment."""

import os

MOST_LINKS_IN_BUNDLE = 40  # the limit of Linux

DIRECTORIES_EVERYWHERE = frozenset(
    (
        ".. ../.. ../../.. / /bin /dev /etc /home /lib /opt /proc /root /run /sbin /srv /sys /tmp /usr /var "
        "/usr/bin /usr/lib /usr/local /usr/sbin /usr/share /usr/local/bin /usr/local/lib "
        "/var/cache /var/lib /var/log /var/spool /var/tmp"
    ).split()
)
"""Directories on every Linux host; `..` and so on are those above an unpacked archive."""


class LeavesBundle(Exception):
    """A path that leads out of the bundle, or in a circle.

    `rest` is where it leads outside, absolute or from the top of the unpacked bundle (`..`).
    """

    def __init__(self, path, rest="", is_circle=False):
        Exception.__init__(self, path)
        self.rest, self.is_circle = rest, is_circle

    def is_directory(self):
        """Whether it leads to a directory that every host has."""
        return not self.is_circle and os.path.normpath(self.rest) in DIRECTORIES_EVERYWHERE


def follow_links(links, path):
    """Resolves a path as the kernel does at the top of the unpacked bundle; `links` has the target of each link.

    Part by part, since `link/..` is not the directory of `link`. A missing part is taken for a directory. The top is
    the empty path. Raises LeavesBundle.
    """
    at, todo, followed = "", path.split("/")[::-1], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not at:
                raise LeavesBundle(path, "/".join(["..", *todo[::-1]]))
            at = os.path.dirname(at)
            continue
        at = at + "/" + part if at else part
        target = links.get(at)
        if target is None:
            continue
        followed += 1
        if followed > MOST_LINKS_IN_BUNDLE:
            raise LeavesBundle(path, is_circle=True)
        if target.startswith("/"):
            raise LeavesBundle(path, "/".join([target, *todo[::-1]]))
        at = os.path.dirname(at)
        todo += target.split("/")[::-1]
    return at
