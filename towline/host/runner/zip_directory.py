"""The central directory of a zip archive: where its entries lie, and what it says of them. Nothing in it is trusted."""

import os
import struct

from towline.host.runner.archive_rules import BadArchive, TornArchive
from towline.host.runner.constants import CHUNK

END = struct.Struct("<4s4H2IH")

END_64 = struct.Struct("<4sQ2H2I4Q")

LOCATOR_64 = struct.Struct("<4sIQI")

ENTRY = struct.Struct("<4s2B5H3I5H2I")

LOCAL = struct.Struct("<4s5H3I2H")


class ZipEntry:
    """One entry of the central directory; `name` and `extra` are bytes, `offset` is where its local header lies."""

    __slots__ = (
        "attributes",
        "crc",
        "date",
        "extra",
        "flags",
        "method",
        "name",
        "offset",
        "packed",
        "size",
        "system",
        "time",
        "version",
    )

    def __init__(self, fields, name, extra):
        self.version, self.system = fields[1:3]
        self.flags, self.method, self.time, self.date = fields[4:8]
        self.crc, self.packed, self.size = fields[8:11]
        self.attributes, self.offset = fields[16:18]
        self.name, self.extra = name, extra
        self._large(fields[14])

    def _large(self, disk):
        """Sizes of 4 GiB and more stand in an extra field, in this order, where the usual place is full of ones."""
        extra = extra_field(self.extra, 0x0001) or b""
        for name in ("size", "packed", "offset"):
            if getattr(self, name) == 0xFFFFFFFF and extra:
                if len(extra) < 8:
                    raise TornArchive("an entry's sizes are cut off")
                setattr(self, name, int.from_bytes(extra[:8], "little"))
                extra = extra[8:]
        if disk not in (0, 0xFFFF):
            raise BadArchive(
                "it is one part of a split archive", hint="Join the parts: zip -s 0 PARTS.zip --out ONE.zip"
            )


def extra_field(extra, wanted):
    """The last extra field of a kind, as unzip takes it, or None."""
    found = None
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == wanted and len(extra) >= 4 + size:
            found = extra[4 : 4 + size]
        extra = extra[4 + size :]
    return found


class ZipDirectory:
    """Finds and reads the central directory of an open archive, piece by piece."""

    def __init__(self, fd, most_members):
        self.fd = fd
        self.file_size = os.fstat(fd).st_size
        end, at = self._find_end()
        count, size, offset, disk = end[4], end[5], end[6], end[1]
        if 0xFFFF in (count, disk) or 0xFFFFFFFF in (size, offset):
            count, size, offset, disk, at = self._end_64(at, (count, size, offset, disk, at))
        if disk:
            raise BadArchive(
                "it is one part of a split archive", hint="Join the parts: zip -s 0 PARTS.zip --out ONE.zip"
            )
        if count > most_members:
            raise BadArchive("more than %d members" % most_members, hint="Pack fewer files, or one archive of them")
        self.count, self.size = count, size
        self.begin = at - size  # whatever stands before the archive, such as a program that unpacks it
        self.shift = self.begin - offset
        if self.begin < 0 or self.shift < 0:
            raise TornArchive("its end does not fit to what stands before")

    def _find_end(self):
        length = min(self.file_size, END.size + 0xFFFF)
        tail = os.pread(self.fd, length, self.file_size - length)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < END.size:
            raise TornArchive("it has no end: it is cut off, or no zip archive")
        return END.unpack_from(tail, at), self.file_size - length + at

    def _end_64(self, at, otherwise):
        locator = os.pread(self.fd, LOCATOR_64.size, max(0, at - LOCATOR_64.size))
        if at < LOCATOR_64.size or locator[:4] != b"PK\6\7":
            return otherwise
        at -= LOCATOR_64.size + END_64.size  # where it lies, also with something before the archive
        block = os.pread(self.fd, END_64.size, at) if at >= 0 else b""
        if len(block) < END_64.size or block[:4] != b"PK\6\6":
            raise TornArchive("its end does not fit to what stands before")
        fields = END_64.unpack(block)
        return fields[7], fields[8], fields[9], fields[4], at

    def entries(self):
        """Yields the entries. Raises TornArchive where one is broken."""
        at, end, count, data = self.begin, self.begin + self.size, 0, b""
        while at < end:
            if len(data) < ENTRY.size + 3 * 0xFFFF:
                data = os.pread(self.fd, min(max(CHUNK * 4, ENTRY.size + 3 * 0xFFFF), end - at), at)
            if len(data) < ENTRY.size or data[:4] != b"PK\1\2":
                raise TornArchive("its list of members is broken")
            fields = ENTRY.unpack_from(data)
            name_at, lengths = ENTRY.size, fields[11:14]
            extra_at = name_at + lengths[0]
            length = ENTRY.size + sum(lengths)
            if len(data) < length:
                raise TornArchive("its list of members is broken")
            yield ZipEntry(fields, data[name_at:extra_at], data[extra_at : extra_at + lengths[1]])
            count += 1
            at += length
            data = data[length:]
        if count & 0xFFFF != self.count & 0xFFFF:
            raise TornArchive("it has %d members and says %d" % (count, self.count))

    def local_header(self, entry):
        """(where the entry's data begin, extra fields of its local header)."""
        at = self.shift + entry.offset
        block = os.pread(self.fd, LOCAL.size, at)
        if len(block) < LOCAL.size or block[:4] != b"PK\3\4":
            raise TornArchive("a member is not where the list of members says")
        name, extra = LOCAL.unpack(block)[9:11]
        at += LOCAL.size
        fields = os.pread(self.fd, extra, at + name)
        return at + name + extra, fields
