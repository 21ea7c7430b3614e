"""Whether nobody but root could have changed a file since root put it there."""

import os
import stat

from towline.host.runner.owned_path import NOT_OPENED, ForeignLink, is_ours, open_directory
from towline.host.runner.owner_access import ACCESS_ACL
from towline.host.runner.protected_files import is_at_or_below
from towline.host.runner.text import as_text, join


def others_could_change(top, path):
    """What lets others than root change a file, from the directory `top` down to it, as text; empty where nothing does.

    A link is followed within `top`; what one leads to outside is the business of those who made the bundle. Where root
    does not run it, a script can do nothing that its user could not do, and nothing is looked at.
    """
    if os.geteuid() != 0:
        return ""
    path = os.path.normpath(path)
    if not is_at_or_below(path, top):
        return "it does not lie below %s" % as_text(top)
    real_top, real = os.path.realpath(top), os.path.realpath(path)
    reason = weak_part(top, path)
    if reason or real == path or not is_at_or_below(real, real_top):
        return reason
    return weak_part(real_top, real)


def weak_part(top, path):
    """The same of one path, up to the first link in it. By descriptors: what was looked at is what lies there."""
    try:
        here, directory = top, open_directory(top)
    except ForeignLink as link:
        return link.strerror
    except OSError:
        return ""
    try:
        reason = weakness(directory)
        for name in filter(None, path[len(top) :].split("/")):
            if reason:
                break
            here = join(here, name)
            inner = os.open(name, NOT_OPENED, dir_fd=directory)
            os.close(directory)
            directory = inner
            if stat.S_ISLNK(os.fstat(inner).st_mode):
                return ""
            reason = weakness(inner)
    except OSError:
        return ""  # what is not there is told by others
    finally:
        os.close(directory)
    return "%s %s" % (as_text(here), reason) if reason else ""


def weakness(descriptor):
    """Why others than root can change an open file, or make, rename and remove what an open directory has."""
    info = os.fstat(descriptor)
    if not is_ours(info.st_uid):
        return "belongs to user id %d" % info.st_uid
    if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX:
        return ""  # what is root's in it stays
    if info.st_mode & 0o002:
        return "can be written by everybody"
    if info.st_mode & 0o020 and (info.st_gid not in (0, os.getegid()) or has_acl(descriptor)):
        return "can be written by group id %d or by whom its access control list names" % info.st_gid
    return ""


def has_acl(descriptor):
    try:
        return ACCESS_ACL in os.listxattr("/proc/self/fd/%d" % descriptor)
    except OSError:
        return False


def weak_directory_above(path):
    """What lets others than root change what lies above a path, or at it: text, or empty."""
    return others_could_change("/", os.path.realpath(path))
