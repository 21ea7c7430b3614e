"""What an entry of a zip archive means on Linux: name, mode and time as Info-ZIP's `unzip` makes them.

AWS's agent calls it. Where a name is in UTF-8 by its flag, and where a name comes from DOS, towline does what unzip
means to do: it garbles some of them (tests/bundles/test_zip_as_unzip.py has the table).
"""

import stat
import struct
import time

from towline.host.runner.archive_rules import BadArchive
from towline.host.runner.zip_directory import extra_field

FAT, UNIX, HPFS, NTFS = 0, 3, 6, 11

WITH_MODES = (1, 2, UNIX, 5, 12, 13, 16, 17, 18)  # systems whose entries have a mode in the upper half of attributes

WITH_LINKS = (2, UNIX, 5, 16)

DROPPED_LETTERS = bytes([*range(32), 127, 255])  # unzip leaves control characters out

PLAIN_UMASK = 0o022

UTF8_FLAG, ENCRYPTED_FLAGS = 0x800, 0x2041


def zip_name(entry):
    """The entry's name in UTF-8, separators and all. Raises BadArchive for a zero byte."""
    name = unicode_path(entry)
    if name is None:
        is_dos = entry.system in (FAT, HPFS) or (entry.system == NTFS and entry.version == 50)
        name = entry.name.decode("cp437").encode() if is_dos and not entry.flags & UTF8_FLAG else entry.name
    if b"\0" in name:
        raise BadArchive("its name has a zero byte in it", name)
    if has_backslashes(entry.system, name):
        name = name.replace(b"\\", b"/")
    return without_version(name.translate(None, DROPPED_LETTERS))


def has_backslashes(system, name):
    """Whether backslashes separate directories: made on DOS or Windows, and no slash in the name."""
    return system == FAT and b"\\" in name and b"/" not in name


def unicode_path(entry):
    """Info-ZIP's field with the name in UTF-8, where it is of this name; None otherwise."""
    import zlib

    field = extra_field(entry.extra, 0x7075)
    if field is None or entry.flags & UTF8_FLAG or len(field) < 6 or field[0] != 1:
        return None
    return field[5:] if int.from_bytes(field[1:5], "little") == zlib.crc32(entry.name) else None


def without_version(name):
    """VMS has versions of files: `name;12`.

    >>> without_version(b"a;12"), without_version(b"a;1/b;x")
    (b'a', b'a;1/b;x')
    """
    last = name.rpartition(b"/")[2]
    before, mark, version = last.rpartition(b";")
    if not mark or version.strip(b"0123456789"):
        return name
    return name[: len(name) - len(last)] + before


def zip_mode(entry, is_directory):
    """(type bits of Unix or 0, permission bits). The sticky bit is left out, as unzip does it."""
    mode = entry.attributes >> 16
    if entry.system in WITH_MODES:
        if not mode:
            field = extra_field(entry.extra, 0x756E)  # ASi's
            mode = int.from_bytes(field[4:6], "little") if field and len(field) >= 6 else 0
        return stat.S_IFMT(mode), mode & 0o6777
    wanted = 0o2 * (not entry.attributes & 1) | (is_directory or bool(entry.attributes & 0x10))
    if entry.system == FAT and mode & 0o700 == 0o400 | wanted << 6:  # PKZIP for Unix: it agrees with DOS's bits
        return 0, mode & 0o777 & ~PLAIN_UMASK
    return 0, (0o444 | wanted * 0o111) & ~PLAIN_UMASK


def zip_time(entry, local_extra):
    """The modification time: from the extra fields of the local header (UTC), else the DOS time, which is local."""
    field = extra_field(local_extra, 0x5455)
    if field and len(field) >= 5 and field[0] & 1:
        seconds = struct.unpack_from("<i", field, 1)[0]
        if seconds >= 0:
            return seconds
    field = extra_field(local_extra, 0x5855)
    if field and len(field) >= 8:
        return struct.unpack_from("<i", field, 4)[0]
    year, month, day = (entry.date >> 9) + 1980, max(1, entry.date >> 5 & 15), entry.date & 31
    hour, minute, second = entry.time >> 11, entry.time >> 5 & 63, (entry.time & 31) * 2
    return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
