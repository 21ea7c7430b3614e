"""Reads zip archives, member by member, as Info-ZIP's `unzip` unpacks them."""

import os
import stat

from towline.host.runner.archive_rules import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TARGET_BYTES,
    ArchiveMember,
    BadArchive,
    TornArchive,
    link_target,
    plain_path,
)
from towline.host.runner.constants import CHUNK
from towline.host.runner.zip_directory import ZipDirectory
from towline.host.runner.zip_entry import ENCRYPTED_FLAGS, WITH_LINKS, zip_mode, zip_name, zip_time

STORED, DEFLATED, BZIP2 = 0, 8, 12

OTHER_METHODS = {
    1: "shrink",
    6: "implode",
    9: "Deflate64",
    14: "LZMA",
    93: "Zstandard",
    95: "xz",
    97: "WavPack",
    98: "PPMd",
    99: "AES encryption",
}

PACK_AGAIN = "Pack it with Deflate: `zip -r`, or as tgz"


def zip_members(file, limits):
    """Yields the members of a zip archive. Raises BadArchive or TornArchive."""
    directory = ZipDirectory(file.fileno(), limits.members)
    places = []
    for entry in directory.entries():
        member, place = zip_member(directory, entry, limits)
        places.append(place)
        if member.path:
            yield member
        for _ in member.pieces:
            pass  # so that a damaged one is found
    check_places(places)


def check_places(places):
    """Raises BadArchive where the data of two members lie over each other: a few bytes could unpack to any size."""
    places.sort()
    for index in range(1, len(places)):
        if places[index][0] < places[index - 1][1]:
            raise BadArchive("its members lie over each other, as an archive bomb's do")


def zip_member(directory, entry, limits):
    """(member, (where it begins and ends in the archive)). Its path is empty for the top itself."""
    name = zip_name(entry)
    if entry.flags & ENCRYPTED_FLAGS:
        raise BadArchive("it is encrypted", name, "Pack it without a password; secrets belong on the host")
    is_directory = name.endswith(b"/")
    kind, mode = zip_mode(entry, entry.name.endswith(b"/"))
    path = plain_path(name)
    if not path and not is_directory:
        raise BadArchive("its name is empty", entry.name or b"(nothing)")
    data_at, extra = directory.local_header(entry)
    place = directory.shift + entry.offset, data_at + entry.packed
    member = ArchiveMember(path, DIRECTORY, mode, zip_time(entry, extra))
    if is_directory:
        return member, place
    content = zip_pieces(directory.fd, entry, data_at, limits, name)
    if kind == stat.S_IFLNK and entry.system in WITH_LINKS:
        member.kind, member.target = SYMLINK, link_target(whole_target(entry, content, name), name)
    elif kind in (0, stat.S_IFREG, stat.S_IFLNK):
        limits.foresee(entry.size, name)
        member.kind, member.size, member.pieces = FILE, entry.size, content
    else:
        raise BadArchive("it is neither a file, a directory nor a symbolic link", name)
    return member, place


def whole_target(entry, content, name):
    if entry.size > TARGET_BYTES:
        raise BadArchive("the target of the link has %d bytes; Linux takes %d" % (entry.size, TARGET_BYTES), name)
    return b"".join(content)


def zip_pieces(fd, entry, at, limits, name):
    """Yields an entry's bytes. Raises TornArchive where size or checksum are not what the archive says."""
    import zlib

    crc, size = 0, 0
    for piece in unpacked_entry(fd, entry, at, name):
        limits.grow(len(piece))
        size += len(piece)
        crc = zlib.crc32(piece, crc)
        if size > entry.size:
            break
        yield piece
    if (crc, size) != (entry.crc, entry.size):
        raise TornArchive(
            "member %r is damaged: its checksum or size is wrong" % name.decode("utf-8", "backslashreplace")
        )


def unpacked_entry(fd, entry, at, name):
    if entry.method == STORED:
        return stored_pieces(fd, at, entry.packed)
    if entry.method == DEFLATED:
        return inflated_pieces(fd, at, entry.packed)
    if entry.method == BZIP2:
        return bunzipped_pieces(fd, at, entry.packed)
    method = OTHER_METHODS.get(entry.method, "method %d" % entry.method)
    hint = PACK_AGAIN
    if method == "Deflate64":
        hint = 'Windows\' own "Send to, compressed folder" does so with large files. ' + hint
    raise BadArchive("it is packed with %s, which towline does not read" % method, name, hint)


def stored_pieces(fd, at, left):
    while left:
        piece = os.pread(fd, min(CHUNK, left), at)
        if not piece:
            raise TornArchive("it is cut off")
        at, left = at + len(piece), left - len(piece)
        yield piece


def inflated_pieces(fd, at, packed):
    import zlib

    unzip = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for data in stored_pieces(fd, at, packed):
            while data and not unzip.eof:
                yield unzip.decompress(data, CHUNK * 4)
                data = unzip.unconsumed_tail
        while not unzip.eof:
            piece = unzip.decompress(b"", CHUNK * 4)
            if not piece:
                return
            yield piece
    except zlib.error as error:
        raise TornArchive(str(error)) from None


def bunzipped_pieces(fd, at, packed):
    try:
        import bz2
    except ImportError:
        raise BadArchive("this Python cannot read bzip2", hint=PACK_AGAIN) from None
    unzip = bz2.BZ2Decompressor()
    try:
        for data in stored_pieces(fd, at, packed):
            while not unzip.eof:
                piece = unzip.decompress(data, CHUNK * 4)
                data = b""
                if piece:
                    yield piece
                elif unzip.needs_input:
                    break
    except OSError as error:
        if error.errno is not None:
            raise
        raise TornArchive(str(error)) from None
