"""Removes the oldest revisions of a group, and what is remembered of deployments without a directory."""

import os

from towline.host.runner.files import remove, remove_tree
from towline.host.runner.locks import take


def prune(host, group, current, limits):
    """Keeps `max_revisions` directories of a group, this one included; never takes what undo or the next stop needs."""
    prune_loose(host)
    base = host.deployments + "/" + group.id
    others = [base + "/" + name for name in os.listdir(base) if base + "/" + name != current]
    extra = len(others) - max(1, limits.get("max_revisions") or 5) + 1
    if extra <= 0:
        return
    needed = (group.last_install(), group.succeeded_directory())
    old = sorted((path for path in others if path not in needed), key=lambda path: os.lstat(path).st_mtime)
    for path in old[:extra]:
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
    """Removes what tells of a deployment, unless somebody attends to it. Who comes for it now waits for the host."""
    lock = take(host.lock("deployment-" + deployment))
    if lock:
        journal = host.journal(deployment)
        for path in (journal, journal + ".trace", host.halt(deployment), host.asked(deployment)):
            remove(path)
        remove(host.lock("deployment-" + deployment))
        lock.close()
