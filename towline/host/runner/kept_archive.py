"""The archive of an earlier deployment, unpacked once more from its bundle, or copied where there is none any more."""

import os
import stat

from towline.host.runner.archive_rules import DIRECTORY, FILE, SYMLINK, ArchiveMember
from towline.host.runner.constants import CHUNK
from towline.host.runner.copying import open_source
from towline.host.runner.sources import OnDisk
from towline.host.runner.unpacking import Unpacking


def type_of(bundle):
    """`zip` or `tar`, by the first bytes: AWS's agent has written down no type. How a tar is packed the reader sees."""
    with open(bundle, "rb") as file:
        return "zip" if file.read(2) == b"PK" else "tar"


def copy_kept(source, target):
    """Copies an unpacked archive as if it were unpacked anew: root's alone, with the owners that Install gives.

    Raises OSError. What is neither file, directory nor link came from a script and is left out.
    """
    unpacking, kept = Unpacking(target), OnDisk(source)
    todo = [""]
    while todo:
        directory = todo.pop()
        for name in sorted(os.listdir(source + "/" + directory)):
            path = directory + "/" + name if directory else name
            member = member_of(kept, path)
            if member is None:
                continue
            unpacking.write(member)
            if member.kind == DIRECTORY:
                todo.append(path)
    unpacking.finish()
    unpacking.write_meant("")


def member_of(kept, path):
    """What an unpacked archive has at a path, as a member of an archive; None where no archive can have it."""
    full = kept.archive + "/" + path
    info = os.lstat(full)
    uid, gid, mode = kept.owner_and_mode(full, info)
    member = ArchiveMember(path, FILE, mode, info.st_mtime, ((uid, b""), (gid, b"")), size=info.st_size)
    if stat.S_ISLNK(info.st_mode):
        member.kind, member.target = SYMLINK, os.readlink(full)
    elif stat.S_ISDIR(info.st_mode):
        member.kind = DIRECTORY
    elif stat.S_ISREG(info.st_mode):
        member.pieces = pieces_of(full)
    else:
        return None
    return member


def pieces_of(path):
    with open(open_source(path)[0], "rb", buffering=0) as file:
        while True:
            piece = file.read(CHUNK)
            if not piece:
                return
            yield piece
