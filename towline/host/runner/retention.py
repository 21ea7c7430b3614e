"""Removes the oldest revisions of a group, and what is remembered of deployments without a directory."""

import os
import stat

from towline.host.runner.constants import ARCHIVE, BUNDLE, KEPT_PLAN
from towline.host.runner.errors import why
from towline.host.runner.files import remove, remove_tree
from towline.host.runner.locks import take
from towline.host.runner.protected_files import is_at_or_below, mount_points
from towline.host.runner.text import as_text


def prune(host, group, current, limits):
    """Keeps `max_revisions` directories of a group, this one included; never takes what undo or the next stop needs.

    Returns warnings of old revisions that cannot be removed: a new deployment does not fail for them.
    """
    prune_loose(host)
    base = host.deployments + "/" + group.id
    others = [path for path in (base + "/" + name for name in os.listdir(base)) if path != current]
    others = [path for path in others if is_revision(path)]
    extra = len(others) - max(1, limits.get("max_revisions") or 5) + 1
    if extra <= 0:
        return []
    needed = (group.last_install(), group.succeeded_directory())
    old = sorted((path for path in others if path not in needed), key=lambda path: os.lstat(path).st_mtime)
    warnings, mounts = [], mount_points()
    for path in old[:extra]:
        try:
            prune_one(host, group, path, mounts)
        except OSError as error:
            warnings.append("the old revision %s cannot be removed: %s" % (as_text(path), why(error)))
    return warnings


def is_revision(path):
    """Whether this is a directory of ours or of AWS's agent, and not what people put or linked beside them."""
    return stat.S_ISDIR(os.lstat(path).st_mode) and any(
        os.path.lexists(path + "/" + name) for name in (ARCHIVE, BUNDLE, KEPT_PLAN)
    )


def prune_one(host, group, path, mounts):
    """Raises OSError with nothing removed where something is mounted: that is no part of the revision."""
    real = os.path.realpath(path)
    for mount in sorted(mounts):
        if is_at_or_below(mount, real):
            raise OSError(0, "something is mounted at %s" % as_text(mount))
    name = os.path.basename(path)
    remove_tree(path)
    remove_tree(group.kept + "/" + name)
    forget(host, name)


LOOSE = 20


def prune_loose(host):
    """Of deployments without a directory, which were refused or had nothing to undo, the newest are remembered."""
    prefix = "deployment-"
    groups = [host.deployments + "/" + name for name in os.listdir(host.deployments)]
    known = {name for group in groups if os.path.isdir(group) for name in os.listdir(group)}
    names = {name[len(prefix) :] for name in os.listdir(host.state + "/locks") if name.startswith(prefix)}
    loose = sorted(names - known, key=lambda name: os.lstat(host.lock(prefix + name)).st_mtime)
    for name in loose[:-LOOSE]:
        forget(host, name)


def forget(host, deployment):
    """Removes what tells of a deployment, unless it is attended to. What comes for it now waits for the host."""
    lock = take(host.lock("deployment-" + deployment))
    if lock:
        journal = host.journal(deployment)
        for path in (journal, journal + ".trace", host.halt(deployment), host.asked(deployment)):
            remove(path)
        remove(host.lock("deployment-" + deployment))
        lock.close()
