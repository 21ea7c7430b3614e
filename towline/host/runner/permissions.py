"""Who may own a file, and its access control list."""

import os

from towline.host.runner.errors import StepFailed
from towline.host.runner.text import as_text
from towline.host.runner.tools import need_tool


def user_id(name):
    """A user's number, -1 for none; raises StepFailed where nobody has that name."""
    import pwd

    try:
        return -1 if name is None else pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise StepFailed("Install: permissions: there is no user %s on this host" % as_text(str(name))) from None


def group_id(name):
    """A group's number, -1 for none; raises StepFailed where there is none of that name."""
    import grp

    try:
        return -1 if name is None else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise StepFailed("Install: permissions: there is no group %s on this host" % as_text(str(name))) from None


def owner_ids(path, owner, group):
    """(user, group) as numbers, -1 for what stays; raises StepFailed where they are unknown or not ours to give."""
    user, group_number = user_id(owner), group_id(group)
    if os.geteuid() != 0 and (
        user not in (-1, os.geteuid()) or group_number not in (-1, *os.getgroups(), os.getegid())
    ):
        raise StepFailed("Install: permissions of %s: only root may give it to another owner" % as_text(path))
    return user, group_number


def check_acl(entries):
    """The tool and the names that an ACL needs."""
    need_tool("setfacl", "an ACL")
    for entry in entries:
        name = entry.get("name") or ""
        if name and not name.isdigit():
            (user_id if entry["type"] == "user" else group_id)(name)


def full_acl(entries, mode):
    """The entries of one object as setfacl's texts, with the base entries that the mode stands for.

    >>> full_acl([{"type": "user", "name": "bob", "perms": "rw-"}], 0o640)
    ['user:bob:rw-', 'user::rw-', 'group::r--', 'other::---', 'mask::r--']
    """
    user, group, other = [letters(mode >> shift & 7) for shift in (6, 3, 0)]
    given = [(bool(e.get("default")), e["type"], e.get("name") or "", e["perms"]) for e in entries]
    added = [(False, "user", "", user), (False, "group", "", group), (False, "other", "", other)]
    if any(not default and name for default, _, name, _ in given) and not has(given, False, "mask"):
        added.append((False, "mask", "", group))
    if any(default for default, _, _, _ in given):
        for kind, perms in (("user", user), ("group", group), ("other", other)):
            if not has(given, True, kind):
                added.append((True, kind, "", perms))
        if any(default and name for default, _, name, _ in given) and not has(given, True, "mask"):
            added.append(next((True, "mask", "", p) for d, k, n, p in given + added if d and k == "group" and not n))
    return ["%s%s:%s:%s" % ("default:" if d else "", k, n, p) for d, k, n, p in given + added]


def has(entries, default, kind):
    return any(d == default and k == kind and not n for d, k, n, _ in entries)


def letters(bits):
    return ("r" if bits & 4 else "-") + ("w" if bits & 2 else "-") + ("x" if bits & 1 else "-")
