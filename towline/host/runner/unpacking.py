"""Writes an archive's members below one directory and nowhere else."""

import os

from towline.host.runner.constants import DEFAULT_MEMBERS, UNPACKED_FLOOR, UNPACKED_RATIO
from towline.host.runner.errors import StepFailed, why
from towline.host.runner.files import remove, remove_tree, write_all
from towline.host.runner.tar_archive import unpack_tar
from towline.host.runner.text import as_text
from towline.host.runner.zip_archive import unpack_zip


class Unpacking:
    """Writes an archive's members below one directory and nowhere else.

    Every parent of a member is a real directory that this made; a link is recreated as it is but never written
    through; set-user-id and set-group-id bits are cleared (`permissions` may set them); devices, fifos, absolute names
    and `..` are refused.
    """

    def __init__(self, target, packed_size, limits):
        self.target = target
        self.most_bytes = limits.get("unpacked_bytes") or max(UNPACKED_FLOOR, UNPACKED_RATIO * packed_size)
        self.most_members = limits.get("members") or DEFAULT_MEMBERS
        self.is_root = os.geteuid() == 0
        self.begin()

    def begin(self):
        """With an empty directory, whatever was there before."""
        remove_tree(self.target)
        os.mkdir(self.target, 0o755)
        self.made = {self.target}
        self.directories = []  # modes come last: one without write permission would shut us out
        self.links = set()
        self.bytes_left, self.members_left = self.most_bytes, self.most_members
        self.cleared = 0  # members that lost a set-id bit

    def place(self, name):
        """Where a member goes, its parents made; None for the archive's root. Raises StepFailed if it would leave."""
        self.members_left -= 1
        if self.members_left < 0:
            raise StepFailed("the archive has too many members")
        if name.startswith("/") or "\0" in name:
            raise StepFailed("archive member %s: absolute names are refused" % as_text(name))
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise StepFailed("archive member %s: it would leave the archive" % as_text(name))
        if not parts:
            return None
        self._make_parents(parts[:-1], name)
        return self.target + "/" + "/".join(parts)

    def _make_parents(self, parts, name):
        path = self.target
        for part in parts:
            path += "/" + part
            if path in self.made:
                continue
            if path in self.links:
                raise StepFailed("archive member %s: it would be written through a link" % as_text(name))
            if os.path.lexists(path):
                os.unlink(path)  # a file before, now a directory: the later member counts
            os.mkdir(path, 0o755)
            self.made.add(path)

    def _away(self, path):
        """Makes room: of two members of one name the later counts."""
        self.links.discard(path)
        if path in self.made:
            remove_tree(path)
            self.made = {made for made in self.made if made != path and not made.startswith(path + "/")}
        else:
            remove(path)

    def directory(self, path, mode, owner, mtime):
        if path not in self.made:
            self._away(path)
            os.mkdir(path, 0o755)
            self.made.add(path)
        self.directories.append((path, self._safe(mode), owner, mtime))

    def file(self, path, pieces, mode, owner, mtime):
        """A regular file from its pieces."""
        fd = self._open_new(path)
        try:
            for piece in pieces:
                self.bytes_left -= len(piece)
                if self.bytes_left < 0:
                    raise StepFailed(
                        "the archive unpacks to more than is allowed: raise the limit unpacked_bytes if it is meant to"
                    )
                write_all(fd, piece)
            if owner and self.is_root:
                os.fchown(fd, owner[0], owner[1])
            os.fchmod(fd, self._safe(mode))
            os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)

    def _open_new(self, path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            return os.open(path, flags, 0o600)
        except FileExistsError:
            self._away(path)
            return os.open(path, flags, 0o600)

    def symbolic_link(self, path, target, owner):
        self._away(path)
        os.symlink(target, path)
        self.links.add(path)
        if owner and self.is_root:
            os.lchown(path, owner[0], owner[1])

    def hard_link(self, path, to):
        """To a member that is there already: looked up as its name was, so that it cannot leave either."""
        source = self.place(to)
        if source is None or not os.path.lexists(source) or source in self.made:
            raise StepFailed("archive member %s: a hard link to what the archive does not have" % as_text(path))
        self._away(path)
        os.link(source, path, follow_symlinks=False)
        if source in self.links:
            self.links.add(path)

    def _safe(self, mode):
        if mode & 0o6000:
            self.cleared += 1
        return mode & 0o1777 if self.is_root else (mode & 0o1777) | 0o600

    def finish(self):
        for path, mode, owner, mtime in reversed(self.directories):
            if path not in self.made:
                continue
            if owner and self.is_root:
                os.lchown(path, owner[0], owner[1])
            os.chmod(path, mode if self.is_root else mode | 0o700)
            os.utime(path, (mtime, mtime))


def unpack(bundle, bundle_type, target, limits):
    """Unpacks a bundle into `target`, which it makes anew. Returns warnings; raises StepFailed."""
    try:
        unpacking = Unpacking(target, os.path.getsize(bundle), limits)
        if bundle_type == "zip":
            unpack_zip(bundle, unpacking)
        else:
            unpack_tar(bundle, unpacking)
        unpacking.finish()
    except StepFailed as failed:
        raise StepFailed("DownloadBundle: %s" % failed.message) from None
    except OSError as error:
        raise StepFailed("DownloadBundle: cannot unpack the archive: %s" % why(error)) from None
    unnest(target)
    if unpacking.cleared:
        return [
            "%d archive members lost their set-user-id or set-group-id bit; permissions may set it" % unpacking.cleared
        ]
    return []


def unnest(target):
    """Takes one level away where the archive has a single directory with something named `appspec` in it."""
    names = os.listdir(target)
    inner = target + "/" + names[0] if len(names) == 1 else ""
    if not inner or os.path.islink(inner) or not os.path.isdir(inner):
        return
    if any("appspec" in name.lower() for name in os.listdir(inner)):
        aside = target + "-temp"
        remove_tree(aside)
        os.rename(target, aside)
        os.rename(aside + "/" + names[0], target)
        os.rmdir(aside)
