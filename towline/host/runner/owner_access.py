"""Lets those read an unpacked file that the archive gives it to, while it is root's."""

import os

ACL_VERSION, ANY_ID = 2, 2**32 - 1  # linux/posix_acl_xattr.h

ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER = 1, 2, 4, 8, 16, 32

ACCESS_ACL = "system.posix_acl_access"


def let_owner_read(file, uid, gid, mode):
    """Lets the owner and group that a member would have use what is root's as its mode says, writing apart.

    A file system without access control lists leaves it root's.
    """
    entries = reading_acl(uid, gid, mode)
    if entries:
        try:
            os.setxattr(file, ACCESS_ACL, pack_acl(entries))
        except OSError:
            pass


def reading_acl(uid, gid, mode):
    """The entries (tag, permissions, id) of that list, in the kernel's order; none where everybody may do as much.

    >>> reading_acl(1000, 1000, 0o755), reading_acl(0, 0, 0o600)
    ([], [])
    >>> reading_acl(1000, 0, 0o700)
    [(1, 7, 4294967295), (2, 5, 1000), (4, 0, 4294967295), (16, 5, 4294967295), (32, 0, 4294967295)]
    """
    user, group, other = mode >> 6 & 5, mode >> 3 & 5, mode & 5
    named = [(ACL_USER, user, uid)] if uid and user | other != other else []
    own_group = group if gid == 0 else other
    groups = [(ACL_GROUP_OBJ, own_group, ANY_ID)] + ([(ACL_GROUP, group, gid)] if gid else [])
    if not named and not (gid and group | other != other):
        return []
    mask = user | group | other
    return [
        (ACL_USER_OBJ, mode >> 6 & 7, ANY_ID),
        *named,
        *groups,
        (ACL_MASK, mask, ANY_ID),
        (ACL_OTHER, other, ANY_ID),
    ]


def pack_acl(entries):
    """As the kernel reads it: little-endian, whatever the machine."""
    import struct

    return struct.pack("<I", ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
