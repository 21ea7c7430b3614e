"""Access keys of the API: a file in the form of AWS's shared credentials, read again when it changes.

    [ci-shop]
    aws_access_key_id = TLKEXAMPLE00000001
    aws_secret_access_key = …

A section's name is who it is. While a key is rotated, a second section `NAME.next` (any suffix behind the first dot) is
the same caller.
"""

from __future__ import annotations

import configparser
import contextlib
import stat
from dataclasses import dataclass, field
from pathlib import Path

from towline.errors import InvalidInput

MIN_SECRET = 16


@dataclass(frozen=True)
class AccessKey:
    """One key: `name` is who uses it. The secret is never shown."""

    key_id: str
    secret: str = field(repr=False)
    name: str = ""


def read_access_keys(text: str, file: str) -> dict[str, AccessKey]:
    """Keys by id. Raises InvalidInput with file, section and rule.

    >>> read_access_keys("[ci]\\naws_access_key_id=K1\\naws_secret_access_key=0123456789abcdef", "keys")["K1"].name
    'ci'
    """
    parser = configparser.RawConfigParser(default_section="\0")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise InvalidInput(
            f"{file}: {' '.join(str(error).split())}.", "The form is that of ~/.aws/credentials."
        ) from None
    found: dict[str, AccessKey] = {}
    for section in parser.sections():
        key = _read_section(dict(parser[section]), section, file)
        if key.key_id in found:
            raise InvalidInput(f"{file}: [{section}] has the aws_access_key_id of [{found[key.key_id].name}].")
        found[key.key_id] = key
    return found


def _read_section(values: dict[str, str], section: str, file: str) -> AccessKey:
    place = f"{file}: [{section}]"
    if unknown := sorted(values.keys() - {"aws_access_key_id", "aws_secret_access_key"}):
        raise InvalidInput(f"{place} has {unknown[0]}.", "A key has aws_access_key_id and aws_secret_access_key only.")
    key_id, secret = values.get("aws_access_key_id", ""), values.get("aws_secret_access_key", "")
    if not key_id or "/" in key_id or "," in key_id or not key_id.isascii() or len(key_id) > 128:
        raise InvalidInput(f"{place}: aws_access_key_id must have 1 to 128 ASCII characters, without '/' and ','.")
    if len(secret) < MIN_SECRET:
        raise InvalidInput(f"{place}: aws_secret_access_key must have at least {MIN_SECRET} characters.")
    return AccessKey(key_id, secret, section.partition(".")[0])


class AccessKeyFile:
    """The keys of a file, read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        """Reads it for the first time. Raises InvalidInput, also where others may read the file."""
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self._keys: dict[str, AccessKey] = {}
        self._load()

    def find(self, key_id: str) -> AccessKey | None:
        """The key of an id, or None. A file that cannot be read any more leaves the keys as they were."""
        with contextlib.suppress(InvalidInput, OSError):
            self._load()
        return self._keys.get(key_id)

    def _load(self) -> None:
        try:
            info = self._path.stat()
        except OSError as error:
            raise InvalidInput(
                f"access keys {self._path}: {error.strerror}.", "Name a file with --access-keys."
            ) from error
        mark = (info.st_mtime_ns, info.st_size, info.st_ino)
        if mark == self._mark:
            return
        if stat.S_IMODE(info.st_mode) & 0o077:
            raise InvalidInput(f"access keys {self._path}: others may read it.", f"chmod 600 {self._path}")
        self._keys = read_access_keys(self._path.read_text(encoding="utf-8"), str(self._path))
        self._mark = mark
