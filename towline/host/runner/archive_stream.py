"""The bytes of a tar archive, unpacked as they are read: plain, gzip, bzip2 or xz, known by how they begin."""

from towline.host.runner.archive_rules import BadArchive, TornArchive
from towline.host.runner.constants import CHUNK

GZIP = b"\x1f\x8b"

OTHER_PACKERS = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x1f\x9d", "compress"),
    (b"LZIP", "lzip"),
    (b"\x89LZO", "lzop"),
    (b"\x04\x22\x4d\x18", "lz4"),
)

OTHER_ARCHIVES = ((b"PK\x03\x04", "zip"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!", "rar"), (b"070707", "cpio"))

XZ_MEMORY = 256 * 1024 * 1024  # xz -9 needs 65 MiB

PIECE = 256 * 1024


class ArchiveStream:
    """Reads exactly what is asked for; counts all that was unpacked."""

    def __init__(self, file, limits):
        self._limits = limits
        self._pieces = unpacked_pieces(file, file.read(CHUNK))
        self._data, self._at = b"", 0

    def some(self, most):
        """At most so many bytes; none at the end."""
        if self._at == len(self._data):
            self._data, self._at = next(self._pieces, b""), 0
            self._limits.grow(len(self._data))
        piece = self._data[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def exactly(self, size):
        """So many bytes; fewer only where the archive ends."""
        piece = self.some(size) if size else b""
        while len(piece) < size:
            more = self.some(size - len(piece))
            if not more:
                break
            piece += more
        return piece

    def pieces(self, size):
        """So many bytes, piece by piece. Raises TornArchive where the archive ends before."""
        while size:
            piece = self.some(size)
            if not piece:
                raise TornArchive("it ends in the middle of a file")
            size -= len(piece)
            yield piece

    def drain(self):
        """Reads to the end: gzip has its checksum there."""
        while self.some(PIECE):
            pass


def unpacked_pieces(file, first):
    """Yields pieces of at most PIECE bytes. Raises TornArchive or BadArchive."""
    if first.startswith(GZIP):
        return gunzip_pieces(file, first)
    if first.startswith(b"BZh"):
        return packed_pieces(file, first, "bz2", lambda bz2: bz2.BZ2Decompressor())
    if first.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return packed_pieces(file, first, "lzma", lambda lzma: lzma.LZMADecompressor(memlimit=XZ_MEMORY))
    refuse_other(first)
    return plain_pieces(file, first)


def refuse_other(first):
    """Raises BadArchive where a file begins like an archive of another kind, or is packed in another way."""
    for magic, name in OTHER_PACKERS:
        if first.startswith(magic):
            raise BadArchive("it is packed with %s, which is not supported" % name, hint="Pack it with gzip: tar -czf")
    for magic, name in OTHER_ARCHIVES:
        if first.startswith(magic):
            hint = "Name it .zip, or give its type: zip" if name == "zip" else "Pack it as zip, tar or tgz"
            raise BadArchive("it is not a sound tar archive: it is a %s archive" % name, hint=hint)


def plain_pieces(file, piece):
    """The file as it is."""
    while piece:
        yield piece
        piece = file.read(PIECE)


def gunzip_pieces(file, data):
    """gzip, also several one behind the other, and zero bytes behind them."""
    import zlib

    try:
        while data:
            if not data.startswith(GZIP):
                raise TornArchive("there is something else behind its end")
            unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
            while not unzip.eof:
                data = data or file.read(CHUNK)
                is_end = not data
                piece = unzip.decompress(data, PIECE)
                data = unzip.unconsumed_tail
                if piece:
                    yield piece
                elif is_end:
                    raise TornArchive("it ends too early")
            data = _next_stream(file, unzip.unused_data)
    except zlib.error as error:
        raise TornArchive(str(error)) from None


def packed_pieces(file, data, module, begin):
    """bzip2 and xz, whose modules have the same way to be asked."""
    try:
        library = __import__(module)
    except ImportError:
        raise BadArchive("this Python cannot read %s" % module, hint="Pack it with gzip: tar -czf") from None
    try:
        while data:
            unpack = begin(library)
            while not unpack.eof:
                if unpack.needs_input and not data:
                    data = file.read(CHUNK)
                    if not data:
                        raise TornArchive("it ends too early")
                piece = unpack.decompress(data, PIECE)
                data = b""
                if piece:
                    yield piece
            data = _next_stream(file, unpack.unused_data)
    except (OSError, EOFError, ValueError, getattr(library, "LZMAError", EOFError)) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's fault, not the data's
        raise TornArchive(str(error)) from None


def _next_stream(file, data):
    """What stands behind a packed stream, zero bytes left out."""
    while True:
        data = data.lstrip(b"\0")
        if len(data) >= 2:
            return data
        more = file.read(CHUNK)
        if not more:
            return data
        data += more
