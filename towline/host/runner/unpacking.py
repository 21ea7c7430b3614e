"""Writes an archive's members below one directory and nowhere else."""

import os
import stat

from towline.host.runner.archive_reader import ArchiveReader
from towline.host.runner.archive_rules import DIRECTORY, FILE, SYMLINK, BadArchive
from towline.host.runner.errors import StepFailed, why
from towline.host.runner.files import remove, remove_tree, write_all, write_json
from towline.host.runner.owner_access import let_owner_read
from towline.host.runner.text import as_json_path, as_text

MEANT = "-owners.json"  # behind the name of an unpacked archive

WRITABLE_BY_OTHERS = 0o022


class Unpacking:
    """Writes members, which the reader has checked, below one directory that it makes anew.

    Every parent of a member is a real directory that this made; a link is made as it is but never written through;
    set-user-id and set-group-id bits are cleared (`permissions` may set them).

    Where root unpacks, everything is root's, and writable by no one else: scripts run from here as root, in the next
    deployment, too. The owners and modes that root's tar would have set are written beside it for Install; an access
    control list lets those owners read, for scripts that run as another user.
    """

    def __init__(self, target):
        self.target = target
        self.is_root = os.geteuid() == 0
        self.cleared = 0  # members that lost a set-id bit
        self._owners = {None: None}
        self._meant = {}  # path of a member -> [uid, gid, mode] that Install gives it, and the mode that it has here
        self._directories = {}  # modes come last: one without write permission would shut us out
        remove_tree(target)
        os.mkdir(target, 0o755)

    def write(self, member):
        path = self.target + "/" + member.path
        for parent in member.parents:
            os.mkdir(self.target + "/" + parent, 0o755)
        if member.replaces:
            os.unlink(path)
            self._meant.pop(member.path, None)
        if member.owner not in self._owners:
            self._owners[member.owner] = tar_owner(*member.owner)
        owner = self._owners[member.owner] if self.is_root else None
        if member.kind == FILE:
            self._file(path, member, owner)
        elif member.kind == DIRECTORY:
            if not os.path.isdir(path):
                os.mkdir(path, 0o755)
            self._directories[path] = self._safe(member.mode), member.mtime, owner
        elif member.kind == SYMLINK:
            os.symlink(member.target, path)
        else:
            os.link(self.target + "/" + member.target, path, follow_symlinks=False)
            if member.target in self._meant:
                self._meant[member.path] = self._meant[member.target]

    def _file(self, path, member, owner):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            for piece in member.pieces:
                write_all(fd, piece)
            mode = self._safe(member.mode)
            if self.is_root and (owner not in (None, (0, 0)) or mode & WRITABLE_BY_OTHERS):
                meant = self._meant[member.path] = [*(owner or (0, 0)), mode]
                mode &= ~WRITABLE_BY_OTHERS
                os.fchmod(fd, mode)
                let_owner_read(fd, *meant)
                meant.append(stat.S_IMODE(os.fstat(fd).st_mode))
            else:
                os.fchmod(fd, mode if self.is_root else mode | 0o600)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _safe(self, mode):
        if mode & 0o6000:
            self.cleared += 1
        return mode & 0o1777

    def finish(self):
        """Gives the directories their modes and times, the deepest first."""
        for path in sorted(self._directories, reverse=True):
            mode, mtime, owner = self._directories[path]
            os.chmod(path, mode & ~WRITABLE_BY_OTHERS if self.is_root else mode | 0o700)
            if owner:
                let_owner_read(path, *owner, mode)
            os.utime(path, (mtime, mtime))

    def write_meant(self, surrounding):
        """Keeps what Install needs, by paths without the surrounding directory; no file where that is nothing."""
        if not self._meant:
            remove(self.target + MEANT)
            return
        below = len(surrounding) + 1 if surrounding else 0
        meant = {as_json_path(path[below:]): value for path, value in self._meant.items()}
        write_json(self.target + MEANT, meant)


def tar_owner(user, group):
    """(uid, gid) of (uid, name) and (gid, name): by name where this host knows it, else by number: as root's tar."""
    import grp
    import pwd

    (uid, user_name), (gid, group_name) = user, group
    try:
        uid = pwd.getpwnam(os.fsdecode(user_name)).pw_uid if user_name else uid
    except (KeyError, ValueError):
        pass
    try:
        gid = grp.getgrnam(os.fsdecode(group_name)).gr_gid if group_name else gid
    except (KeyError, ValueError):
        pass
    return uid, gid


def unpack(bundle, bundle_type, target, limits):
    """Unpacks a bundle into `target`, which it makes anew. Returns warnings; raises StepFailed."""
    reader = ArchiveReader(bundle, bundle_type, limits)
    try:
        unpacking = Unpacking(target)
        for member in reader.members():
            unpacking.write(member)
        unpacking.finish()
        surrounding = reader.tree.surrounding()
        unpacking.write_meant(surrounding)
        take_level_away(target, surrounding)
    except BadArchive as bad:
        hint = ". " + bad.hint if bad.hint else ""
        raise StepFailed("DownloadBundle: the archive is refused: %s%s" % (as_text(str(bad)), hint)) from None
    except OSError as error:
        raise StepFailed("DownloadBundle: cannot unpack the archive: %s" % why(error)) from None
    if unpacking.cleared:
        return [
            "%d archive members lost their set-user-id or set-group-id bit; permissions may set it" % unpacking.cleared
        ]
    return []


def take_level_away(target, surrounding):
    """Moves what lies in the one surrounding directory up, if there is one."""
    if surrounding:
        aside = target + "-temp"
        remove_tree(aside)
        os.rename(target, aside)
        os.rename(aside + "/" + surrounding, target)
        os.rmdir(aside)
