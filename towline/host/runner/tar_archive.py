"""Reads tar archives, plain or compressed, member by member."""

from towline.host.runner.archive_rules import (
    DIRECTORY,
    FILE,
    HARD_LINK,
    SYMLINK,
    ArchiveMember,
    BadArchive,
    TornArchive,
    check_owner_and_time,
    link_target,
    plain_path,
)
from towline.host.runner.archive_stream import ArchiveStream
from towline.host.runner.tar_header import (
    BLOCK,
    EXTENSION_BYTES,
    MOST_EXTENSIONS,
    REFUSED_TYPES,
    TarHeader,
    parse_pax,
    pax_integer,
    pax_time,
    tar_text,
)


def tar_members(file, limits):
    """Yields the members of a tar archive, as GNU tar would unpack them. Raises BadArchive or TornArchive."""
    stream = ArchiveStream(file, limits)
    reader = TarReader(stream, limits)
    while True:
        header = reader.next_header()
        if header is None:
            break
        member, padding = reader.member(header)
        if member:
            yield member
        for _ in member.pieces if member else stream.pieces(header.size):
            pass  # what was not read, for there is no other way to the next member
        stream.exactly(padding)
    stream.drain()


class TarReader:
    """Puts a member together from its header and the extension headers before it."""

    def __init__(self, stream, limits):
        self._stream, self._limits = stream, limits
        self._for_all = {}  # pax's global header
        self._seen = False
        self.name = self.link = None  # GNU's long ones
        self.pax = {}

    def next_header(self):
        """The next member's header, extension headers read; None at the end."""
        self.name = self.link = None
        self.pax = self._for_all
        for _ in range(MOST_EXTENSIONS + 1):
            block = self._stream.exactly(BLOCK)
            if not block.strip(b"\0"):
                if not self._seen and not block:
                    raise TornArchive("it is empty")
                return None
            header = self._header(block)
            if header.kind not in b"LKxXgV" or not header.kind:
                return header
            self._extension(header)
        raise BadArchive("more than %d extension headers before one member" % MOST_EXTENSIONS)

    def _header(self, block):
        try:
            header = TarHeader(block)
        except TornArchive:
            if self._seen:
                raise
            raise TornArchive("it does not begin like one") from None
        self._seen = True
        return header

    def _extension(self, header):
        if header.size > EXTENSION_BYTES:
            raise BadArchive("an extension header of %d bytes; at most %d" % (header.size, EXTENSION_BYTES))
        data = self._stream.exactly(header.size)
        if len(data) < header.size:
            raise TornArchive("it ends in the middle of an extension header")
        self._stream.exactly(-header.size % BLOCK)
        if header.kind == b"L":
            self.name = tar_text(data)
        elif header.kind == b"K":
            self.link = tar_text(data)
        elif header.kind == b"g":
            self._for_all = dict(self._for_all, **parse_pax_text(data))
            self.pax = dict(self._for_all, **self.pax)
        elif header.kind in b"xX":
            self.pax = dict(self._for_all, **parse_pax_text(data))

    def member(self, header):
        """(member or None for the top itself, bytes of padding behind its data). Raises BadArchive."""
        pax, size, mtime, owner = self.pax, header.size, header.mtime(), header.owner()
        name = header.name if self.name is None else self.name
        link = header.link if self.link is None else self.link
        if pax:
            name, link = pax.get("path", name), pax.get("linkpath", link)
            size = pax_integer(pax["size"], "size") if "size" in pax else size
            mtime = pax_time(pax["mtime"]) if "mtime" in pax else mtime
            owner = pax_owner(pax, owner)
        kind = kind_of(header.kind, name)
        header.size = size if kind == FILE else 0  # links and directories have none, whatever they say
        path = plain_path(name)
        if not path and kind == DIRECTORY:
            return None, 0
        if not path:
            raise BadArchive("the top of a bundle must be a directory", name or b".")
        check_owner_and_time(owner[0][0], owner[1][0], mtime, name)
        member = ArchiveMember(path, kind, header.mode & 0o7777, mtime, owner, size=header.size)
        if kind == SYMLINK:
            member.target = link_target(link, name)
        elif kind == HARD_LINK:
            member.target = hard_link_target(link, name)
        elif kind == FILE:
            self._limits.foresee(size, name)
            member.pieces = self._stream.pieces(size)
        return member, -header.size % BLOCK


def parse_pax_text(data):
    """Keys as text."""
    return {key.decode(): value for key, value in parse_pax(data).items()}


def pax_owner(pax, owner):
    (uid, user), (gid, group) = owner
    uid = pax_integer(pax["uid"], "uid") if "uid" in pax else uid
    gid = pax_integer(pax["gid"], "gid") if "gid" in pax else gid
    return (uid, pax.get("uname", user)), (gid, pax.get("gname", group))


def kind_of(letter, name):
    """What a member is by its type's letter. Raises BadArchive for what a bundle may not have."""
    if letter in (b"0", b"\0", b"7"):
        return DIRECTORY if name.endswith(b"/") else FILE
    kind = {b"5": DIRECTORY, b"2": SYMLINK, b"1": HARD_LINK}.get(letter)
    if kind:
        return kind
    why, hint = REFUSED_TYPES.get(
        letter, ("it is of a kind that is not known (type %r)" % letter.decode("latin-1"), "")
    )
    raise BadArchive(why, name, hint)


def hard_link_target(raw, member):
    try:
        return plain_path(raw)
    except BadArchive as bad:
        raise BadArchive(
            "it is a hard link to %r: %s" % (raw.decode("utf-8", "backslashreplace"), bad.why), member
        ) from None
