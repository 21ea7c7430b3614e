"""The rules for what may be in an archive: who deploys and the host keep the same, member by member.

Refused, with the member's name: paths that are absolute, climb out or are too long for Linux, names and link targets
that are no UTF-8, members below a link or a file, a name that is a directory here and something else there, hard links
to what is not there, owners and times that no system has, and whatever grows past the limits. Symbolic links may lead
anywhere: they are made as they are, and never written or copied through.
"""

from towline.host.runner.constants import DEFAULT_MEMBERS, UNPACKED_FLOOR, UNPACKED_RATIO
from towline.host.runner.text import as_name

FILE, DIRECTORY, SYMLINK, HARD_LINK = "file", "directory", "symlink", "hard link"

NAME_BYTES = 255  # Linux's limit for one name

PATH_BYTES = 3500  # Linux's 4,095 for a whole path, less what stands above an unpacked archive or a destination

TARGET_BYTES = 4095

LISTED_BYTES = 64 * 1024 * 1024  # all paths and link targets of an archive together: they are held in memory

LAST_ID = 2**32 - 2  # one more means "leave it as it is"

FIRST_TIME, LAST_TIME = -(2**33), 2**38  # seconds: what every file system of Linux takes, or clamps


class BadArchive(Exception):
    """An archive that is refused: why, because of which member (empty: the archive as a whole), and what helps."""

    def __init__(self, why, member="", hint=""):
        Exception.__init__(self, why)
        self.why, self.member, self.hint = why, member, hint

    def __str__(self):
        return "member %r: %s" % (shown_name(self.member), self.why) if self.member else self.why


class TornArchive(BadArchive):
    """An archive that is damaged or cut off."""


class ArchiveMember:
    """A member whose name is plain and allowed: `path` has neither `.` nor a slash at its ends.

    `owner` is ((uid, user), (gid, group)) or None, `mtime` in seconds since 1970, `target` where a link leads; `pieces`
    yields a file's bytes and has to be read before the next member. `MemberTree` sets `replaces` (a file or link of
    that path came before) and `parents` (directories above it that no member has made yet).
    """

    __slots__ = ("kind", "mode", "mtime", "owner", "parents", "path", "pieces", "replaces", "size", "target")

    def __init__(self, path, kind, mode, mtime=0, owner=None, target="", size=0, pieces=()):
        self.path, self.kind, self.mode, self.mtime, self.owner = path, kind, mode, mtime, owner
        self.target, self.size, self.pieces = target, size, pieces
        self.replaces, self.parents = False, ()


class ArchiveLimits:
    """How large an archive may become; a bomb is small and grows past one of these."""

    def __init__(self, packed_bytes, unpacked_bytes=None, members=None):
        self.members = members or DEFAULT_MEMBERS
        self.unpacked_bytes = unpacked_bytes or max(UNPACKED_FLOOR, UNPACKED_RATIO * packed_bytes)
        self.bytes_left = self.unpacked_bytes

    def grow(self, count):
        """Counts bytes that were unpacked, or are about to be. Raises BadArchive past the limit."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise BadArchive(
                "it unpacks to more than %d bytes, the limit for an archive of its size" % self.unpacked_bytes,
                hint="If it is meant to be that large, set TOWLINE_MAX_UNPACKED_BYTES where workers and commands run",
            )

    def foresee(self, count, member):
        """Raises BadArchive where so many bytes more would be too many."""
        if count > self.bytes_left:
            self.bytes_left = 0
            self.grow(count)


class MemberTree:
    """The tree that the members seen so far make."""

    def __init__(self, limits):
        self.kinds = {"": DIRECTORY}
        self._members, self._most = 0, limits.members
        self._text_left = LISTED_BYTES

    def take(self, member):
        """Adds a member; sets its `replaces` and `parents`. Raises BadArchive where it does not fit."""
        self._members += 1
        path, kinds = member.path, self.kinds
        above = path.rpartition("/")[0]
        if kinds.get(above) != DIRECTORY:
            member.parents = self._make_parents(above, path)
        before = kinds.get(path)
        if before is None:
            self._count(path)
        elif (before == DIRECTORY) != (member.kind == DIRECTORY):
            raise self._both(member, before)
        member.replaces = before is not None and before != DIRECTORY
        kinds[path] = self._kind_of_link(member) if member.kind == HARD_LINK else member.kind
        self._text_left -= len(member.target)

    def _kind_of_link(self, member):
        if member.target == member.path:
            raise BadArchive("it is a hard link to itself", member.path)
        if self.kinds.get(member.target) != FILE:
            raise BadArchive("it is a hard link to %s, which is no file of the bundle" % member.target, member.path)
        return FILE

    def _both(self, member, before):
        """The error for a path that is a directory and something else."""
        below = next((path for path in self.kinds if path.startswith(member.path + "/")), None)
        if below and before == DIRECTORY:
            return BadArchive(not_a_directory(member.path, member.kind), below)
        return BadArchive(
            "the archive has it as a directory and as %s" % a_kind(member, before), member.path, PACK_IT_ANEW
        )

    def _make_parents(self, above, path):
        """The missing directories above a member, the highest first."""
        missing = []
        while above not in self.kinds:
            missing.append(above)
            above = above.rpartition("/")[0]
        if self.kinds[above] != DIRECTORY:
            raise BadArchive(not_a_directory(above, self.kinds[above]), path)
        for directory in missing:
            self._count(directory)
            self.kinds[directory] = DIRECTORY
        return missing[::-1]

    def _count(self, path):
        self._text_left -= len(path)
        if max(self._members, len(self.kinds)) > self._most:
            raise BadArchive("more than %d members" % self._most, hint="Pack fewer files, or one archive of them")
        if self._text_left < 0:
            raise BadArchive("the names of its members take more than %d MiB" % (LISTED_BYTES >> 20))

    def surrounding(self):
        """The directory that everything lies in, if something in it is called like an AppSpec; else empty.

        The agent's rule: such a directory is taken away.
        """
        top = [path for path in self.kinds if path and "/" not in path]
        if len(top) != 1 or self.kinds[top[0]] != DIRECTORY:
            return ""
        inside = (path[len(top[0]) + 1 :] for path in self.kinds if path.startswith(top[0] + "/"))
        return top[0] if any("appspec" in name.lower() for name in inside if "/" not in name) else ""


PACK_IT_ANEW = "An archive that was appended to has both: pack it anew"


def not_a_directory(path, kind):
    return "%r above it is %s, not a directory" % (path, "a link" if kind == SYMLINK else "a file")


def a_kind(member, before):
    kind = before if member.kind == DIRECTORY else member.kind
    return "a link" if kind == SYMLINK else "a file"


def shown_name(name):
    """A member's name (bytes or text) for messages: readable, and not endless."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    text = name.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 200 else text[:100] + "…" + text[-90:]


def plain_path(raw):
    """The path of a member by its name in the archive (bytes); empty for the top. Raises BadArchive."""
    if raw[:1] == b"/":
        raise BadArchive("its path is absolute", raw)
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BadArchive("its path has '..' in it and would leave the archive", raw)
    if b"\0" in raw:
        raise BadArchive("its name has a zero byte in it", raw)
    path = b"/".join(parts)
    if len(path) > NAME_BYTES:
        _check_length(parts, path)
    return _as_utf8(path, raw, "its name is not UTF-8")


def _check_length(parts, path):
    if len(path) > PATH_BYTES:
        raise BadArchive("its path has %d bytes; at most %d fit below a directory" % (len(path), PATH_BYTES), path)
    longest = max(len(part) for part in parts)
    if longest > NAME_BYTES:
        raise BadArchive("a name in it has %d bytes; Linux takes %d" % (longest, NAME_BYTES), path)


def _as_utf8(raw, member, otherwise):
    try:
        return as_name(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadArchive(otherwise, member, "Rename it with letters in UTF-8") from None


def link_target(raw, member):
    """Where a symbolic link leads, from its bytes. Raises BadArchive for what no link can be."""
    if not raw or b"\0" in raw:
        raise BadArchive("it is a link to nothing", member)
    if len(raw) > TARGET_BYTES:
        raise BadArchive("the target of the link has %d bytes; Linux takes %d" % (len(raw), TARGET_BYTES), member)
    return _as_utf8(raw, member, "the target of the link is not UTF-8")


def check_owner_and_time(uid, gid, mtime, member):
    """Raises BadArchive for numbers that no system takes."""
    for number, what in ((uid, "user"), (gid, "group")):
        if not 0 <= number <= LAST_ID:
            raise BadArchive("its %s id %d is out of range" % (what, number), member)
    if not FIRST_TIME <= mtime <= LAST_TIME:  # not so for NaN either
        raise BadArchive("its time %r is out of range" % mtime, member)
