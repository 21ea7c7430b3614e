"""Reads zip archives."""

import os
import stat
import time

from towline.host.runner.errors import StepFailed
from towline.host.runner.tar_archive import read_pieces
from towline.host.runner.text import as_name, as_text


def unpack_zip(bundle, unpacking):
    """Stored modes and links where the archive has them (made on unix), else 0644 and 0755; all belongs to us."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(bundle) as archive:
            for member in archive.infolist():
                unpack_zip_member(archive, member, unpacking)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise StepFailed("the archive is no sound zip file: %s" % error) from None


def unpack_zip_member(archive, member, unpacking):
    path = unpacking.place(as_name(member.filename))
    mode = member.external_attr >> 16 if member.create_system == 3 else 0
    if member.filename.endswith("/"):
        if path:
            unpacking.directory(path, stat.S_IMODE(mode) or 0o755, None, zip_time(member))
    elif path is None:
        raise StepFailed("archive member %s: its name is empty" % as_text(member.filename))
    elif stat.S_ISLNK(mode):
        if member.file_size > 4096:
            raise StepFailed("archive member %s: the link's target is too long" % as_text(member.filename))
        unpacking.symbolic_link(path, os.fsdecode(archive.read(member)), None)
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise StepFailed("archive member %s: devices and fifos are refused" % as_text(member.filename))
    else:
        with archive.open(member) as source:
            unpacking.file(path, read_pieces(source), stat.S_IMODE(mode) or 0o644, None, zip_time(member))


def zip_time(member):
    """The modification time: from the extended time stamp (UTC) if there is one, else the DOS time, which is local."""
    extra = member.extra
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == 0x5455 and size >= 5 and extra[4] & 1:
            return int.from_bytes(extra[5:9], "little", signed=True)
        extra = extra[4 + size :]
    return time.mktime((*member.date_time, 0, 0, -1))
