"""TLS by certificate files, which are read again when they change: a renewed certificate needs no restart."""

from __future__ import annotations

import contextlib
import logging
import ssl
from pathlib import Path

from towline.errors import InvalidInput

log = logging.getLogger("towline.api")


class Certificate:
    """A certificate and its key, as PEM files.

    `context` is what a server listens with: at each handshake it looks whether the files have changed. While they do
    not belong together, because they are being replaced, the certificate stays as it was.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Reads both files. Raises InvalidInput."""
        self._cert, self._key = cert, key
        self._mark = self._files()
        try:
            self._current = self._read()
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"TLS with {cert} and {key}: {error}.", "Both are PEM files; the key has no passphrase."
            ) from error
        self.context = self._read()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in each handshake, also where the client names no server."""
        self._read_if_changed()
        connection.context = self._current

    def _read_if_changed(self) -> None:
        mark = self._files()
        if mark == self._mark:
            return
        self._mark = mark  # before it is read, so that files that do not fit are reported once
        try:
            self._current = self._read()
        except (OSError, ValueError) as error:
            log.warning("TLS goes on with the certificate that it has: %s and %s: %s", self._cert, self._key, error)
        else:
            log.info("TLS has a new certificate from %s", self._cert)

    def _files(self) -> list[tuple[int, int, int]]:
        """What tells the files from those of before; empty where one is missing."""
        with contextlib.suppress(OSError):
            return [(info.st_mtime_ns, info.st_size, info.st_ino) for info in (self._cert.stat(), self._key.stat())]
        return []

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._cert, self._key, password="")  # never asks the terminal
        return context
