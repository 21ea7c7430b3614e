"""Reads tar archives, plain or compressed."""

from towline.host.runner.constants import CHUNK
from towline.host.runner.errors import StepFailed
from towline.host.runner.text import NAME_ENCODING, as_name, as_text


def unpack_tar(bundle, unpacking):
    """tar, plain or compressed, whatever it is called: owners, modes and times as root's tar would set them.

    Nearly every bundle is plain; for all the rest, damage included, tarfile begins anew and has the word.
    """
    try:
        unpack_plain_tar(bundle, unpacking)
    except NotPlain:
        unpacking.begin()
        unpack_any_tar(bundle, unpacking)


class NotPlain(Exception):
    """Something that is left to tarfile."""


def unpack_plain_tar(bundle, unpacking):
    """A tar file whose members are files, directories and links with short names: loading tarfile, and its work per
    member, take longer than such a bundle's whole unpacking. Raises NotPlain for anything else."""
    owners = {}
    with open(bundle, "rb", buffering=0) as file:
        stream = Unzipped(file)
        while True:
            header = stream.exactly(512)
            if not header.strip(b"\0"):
                return
            member = PlainMember(header)
            path = unpacking.place(member.name)
            if member.owner not in owners:
                owners[member.owner] = tar_owner(*member.owner)
            owner = owners[member.owner]
            if member.kind == b"5":
                if path:
                    unpacking.directory(path, member.mode, owner, member.mtime)
            elif path is None:
                raise StepFailed("archive member %s: its name is empty" % as_text(member.name))
            elif member.kind == b"2":
                unpacking.symbolic_link(path, member.link, owner)
            elif member.kind == b"1":
                unpacking.hard_link(path, member.link)
            else:
                unpacking.file(path, stream.pieces(member.size), member.mode, owner, member.mtime)
                stream.exactly(-member.size % 512)


class PlainMember:
    """A member by its 512 bytes of header, as POSIX and GNU tar both write it. Raises NotPlain."""

    def __init__(self, header):
        self.kind = header[156:157]
        if header[257:263] not in (b"ustar\0", b"ustar ") or self.kind not in (b"0", b"1", b"2", b"5"):
            raise NotPlain
        if self._number(header, 148, 156) != sum(header) - sum(header[148:156]) + 8 * 32:
            raise NotPlain
        name, prefix = self._text(header, 0, 100), self._text(header, 345, 500)
        self.name = prefix + "/" + name if prefix else name
        self.link = self._text(header, 157, 257)
        self.mode, self.mtime = self._number(header, 100, 108), self._number(header, 136, 148)
        self.size = self._number(header, 124, 136)
        if self.kind != b"0" and self.size:
            raise NotPlain
        user = self._number(header, 108, 116), self._text(header, 265, 297)
        group = self._number(header, 116, 124), self._text(header, 297, 329)
        self.owner = user, group

    @staticmethod
    def _number(header, start, end):
        field = header[start:end].strip(b" \0")
        if field.strip(b"01234567"):
            raise NotPlain
        return int(field or b"0", 8)

    @staticmethod
    def _text(header, start, end):
        return as_name(header[start:end].partition(b"\0")[0].decode(NAME_ENCODING, "surrogateescape"))


class Unzipped:
    """Reads a file, unzipping it if it is gzip's. What ends too early, or is damaged, is not plain."""

    def __init__(self, file):
        import zlib

        self.file, self.damage = file, zlib.error
        self.unzip, self.packed = None, b""
        self.data, self.at = file.read(CHUNK), 0
        if self.data.startswith(b"\x1f\x8b"):
            self.unzip, self.packed, self.data = zlib.decompressobj(zlib.MAX_WBITS | 16), self.data, b""

    def some(self, most):
        """At most so many bytes, at least one."""
        while self.at == len(self.data):
            self.data, self.at = self._more(), 0
        piece = self.data[self.at : self.at + most]
        self.at += len(piece)
        return piece

    def exactly(self, size):
        piece = self.some(size) if size else b""
        while len(piece) < size:
            piece += self.some(size - len(piece))
        return piece

    def pieces(self, size):
        while size:
            piece = self.some(size)
            size -= len(piece)
            yield piece

    def _more(self):
        packed = self.packed or self.file.read(CHUNK)
        if not packed or (self.unzip and self.unzip.eof):
            raise NotPlain
        if not self.unzip:
            return packed
        try:
            data = self.unzip.decompress(packed, CHUNK)
        except self.damage:
            raise NotPlain from None
        self.packed = self.unzip.unconsumed_tail
        return data


def unpack_any_tar(bundle, unpacking):
    import tarfile
    import zlib

    owners = {}
    try:
        with open_unzipped(bundle) as file:
            with tarfile.open(fileobj=file, mode="r:*", encoding=NAME_ENCODING, errors="surrogateescape") as tar:
                for member in tar:
                    unpack_tar_member(tar, member, unpacking, owners)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise StepFailed("the archive is no sound tar file: %s" % error) from None


def open_unzipped(bundle):
    """The bundle as tarfile reads it; gzip in large pieces, which halves the time."""
    file = open(bundle, "rb")
    if file.read(2) != b"\x1f\x8b":
        file.seek(0)
        return file
    import gzip
    import io

    file.close()
    return io.BufferedReader(gzip.open(bundle), CHUNK)


def unpack_tar_member(tar, member, unpacking, owners):
    path = unpacking.place(as_name(member.name))
    owner = (member.uid, member.uname), (member.gid, member.gname)
    if owner not in owners:
        owners[owner] = tar_owner(*owner)
    if member.isdir():
        if path:
            unpacking.directory(path, member.mode, owners[owner], member.mtime)
    elif path is None:
        raise StepFailed("archive member %s: its name is empty" % as_text(member.name))
    elif member.isreg():
        unpacking.file(path, read_pieces(tar.extractfile(member)), member.mode, owners[owner], member.mtime)
    elif member.issym():
        unpacking.symbolic_link(path, as_name(member.linkname), owners[owner])
    elif member.islnk():
        unpacking.hard_link(path, as_name(member.linkname))
    else:
        raise StepFailed("archive member %s: devices and fifos are refused" % as_text(member.name))


def tar_owner(user, group):
    """(uid, gid) of (uid, name) and (gid, name): by name where this host knows it, else by number: as root's tar."""
    import grp
    import pwd

    (uid, user_name), (gid, group_name) = user, group
    try:
        uid = pwd.getpwnam(user_name).pw_uid if user_name else uid
    except (KeyError, ValueError):
        pass
    try:
        gid = grp.getgrnam(group_name).gr_gid if group_name else gid
    except (KeyError, ValueError):
        pass
    return uid, gid


def read_pieces(file):
    return iter(lambda: file.read(CHUNK), b"")
