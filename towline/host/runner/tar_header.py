"""The headers of tar archives: POSIX's (ustar, pax), GNU's and the first one, v7. Nothing in them is trusted."""

from towline.host.runner.archive_rules import BadArchive, TornArchive

BLOCK = 512

EXTENSION_BYTES = 1024 * 1024  # of one extension header: extended attributes are kept there

MOST_EXTENSIONS = 8  # before one member: a name, a link's target, attributes, all of it for several members

# Of pax: what is understood, and what must not be passed over since the content would be another.
PAX_KEYS = (b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime")

PAX_REFUSED = ((b"GNU.sparse.", "a sparse file"), (b"SUN.holesdata", "a sparse file"), (b"GNU.volume.", "split"))

REFUSED_TYPES = {
    b"3": ("it is a device", ""),
    b"4": ("it is a device", ""),
    b"6": ("it is a named pipe", ""),
    b"S": ("it is a sparse file", "Make the archive without --sparse"),
    b"M": ("it goes on from another volume", "Make the archive without --multi-volume"),
    b"D": ("it is of an incremental backup", "Make the archive without --listed-incremental"),
    b"N": ("its long name is in a form that has been out of use since 1990", "Make the archive anew"),
}


class TarHeader:
    """One block of 512 bytes. Raises TornArchive where it is none."""

    __slots__ = ("_block", "kind", "link", "mode", "name", "size")

    def __init__(self, block):
        if len(block) < BLOCK:
            raise TornArchive("it ends in the middle of a member's header")
        check_sum(block)
        self._block = block
        self.kind = block[156:157]
        self.mode = tar_number(block[100:108])
        self.size = tar_number(block[124:136])
        if self.size < 0:
            raise TornArchive("a member's size is negative")
        self.name, self.link = tar_text(block[:100]), tar_text(block[157:257])
        if block[257:263] == b"ustar\0" and block[345]:  # GNU's own has times there
            self.name = tar_text(block[345:500]) + b"/" + self.name

    def mtime(self):
        return tar_number(self._block[136:148])

    def owner(self):
        """((uid, user), (gid, group)); names are empty where the header has none."""
        block = self._block
        has_names = block[257:262] == b"ustar"
        user, group = (tar_text(block[265:297]), tar_text(block[297:329])) if has_names else (b"", b"")
        return (tar_number(block[108:116]), user), (tar_number(block[116:124]), group)


def check_sum(block):
    """Raises TornArchive where the checksum is wrong, whether bytes were added up with or without their sign."""
    field = block[148:156]
    total = sum(block) - sum(field) + 8 * 32
    stored = tar_number(field)
    if stored != total and stored != total - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127):
        raise TornArchive("a member's header is broken")


def tar_text(field):
    return field.partition(b"\0")[0]


def tar_number(field):
    """Octal digits, or GNU's base 256."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (1 << 8 * (len(field) - 1) if field[0] == 0xFF else 0)
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise TornArchive("a number in a member's header is none")
    return int(digits or b"0", 8)


def parse_pax(data):
    """{key: value} of the keys that are understood. Raises BadArchive or TornArchive.

    A record is `LENGTH KEY=VALUE` and a line end; LENGTH counts all of it.
    """
    found, at = {}, 0
    while at < len(data):
        blank = data.find(b" ", at, at + 9)
        digits = data[at:blank]
        if blank < 0 or not digits.isdigit():
            if not data[at:].strip(b"\0"):
                break
            raise TornArchive("an extended header is broken")
        end = at + int(digits)
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if not at < end <= len(data) or data[end - 1 : end] != b"\n" or not equals:
            raise TornArchive("an extended header is broken")
        for begin, what in PAX_REFUSED:
            if key.startswith(begin):
                raise BadArchive("%s is not supported" % what, hint="Make the archive with plain tar -czf")
        if key in PAX_KEYS:
            found[key] = value
        at = end
    return found


def pax_integer(value, key):
    if len(value) > 20 or not value.isdigit():
        raise TornArchive("%s in an extended header is no number" % key)
    return int(value)


def pax_time(value):
    """Seconds, with a fraction, as a float."""
    whole, _, fraction = value.lstrip(b"-").partition(b".")
    if len(value) > 40 or not (whole.isdigit() and (fraction.isdigit() or not fraction)):
        raise TornArchive("the time in an extended header is no number")
    return float(value)
