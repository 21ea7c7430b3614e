"""Access keys of hosts with AWS's agent: each is bound to one instance name, and its secret is derived, not kept.

A secret is an HMAC of name and generation under the key of one file that all API servers read; the catalogue keeps each
host's generation, so that one key can be revoked and the next one made. A key's id shows whose it is: `TLH2.web-201`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from towline.api.access_keys import AccessKey
from towline.errors import InvalidInput

MIN_KEY_BYTES = 32
SECRET_CHARACTERS = 40  # of AWS's own secrets
LONGEST_ID = 128
_ID = re.compile(r"TLH([1-9][0-9]{0,5})\.([A-Za-z0-9+=.@_%-]{1,120})")


@dataclass(frozen=True)
class HostKeyId:
    """Whose key it is, and which of that host's keys."""

    name: str
    generation: int

    @classmethod
    def parse(cls, text: str) -> HostKeyId | None:
        """Reads an access key id; None: it is no host's.

        >>> HostKeyId.parse("TLH2.web-201")
        HostKeyId(name='web-201', generation=2)
        """
        match = _ID.fullmatch(text)
        found = match and cls(unquote(match[2]), int(match[1]))
        return found if found and str(found) == text else None

    def __str__(self) -> str:
        """The access key id; a comma, which a signature's header cannot have, is percent-encoded."""
        return f"TLH{self.generation}.{quote(self.name, safe='+=.@_-')}"


@dataclass(frozen=True)
class HostKeys:
    """Derives the access keys of hosts."""

    secret: bytes = field(repr=False)

    def key(self, name: str, generation: int) -> AccessKey:
        """The access key of a host. Raises InvalidInput for a name that no key id can have."""
        key_id = str(HostKeyId(name, generation))
        if len(key_id) > LONGEST_ID or HostKeyId.parse(key_id) is None:
            raise InvalidInput(f"{name}: too long for an access key id.", "Give the instance a shorter name.")
        digest = hmac.new(self.secret, f"codedeploy-agent\0{generation}\0{name}".encode(), hashlib.sha256).digest()
        return AccessKey(key_id, base64.b64encode(digest).decode()[:SECRET_CHARACTERS], name)

    def find(self, key_id: str) -> AccessKey | None:
        """The access key of an id, whether or not its generation is still good; None: it is no host's."""
        found = HostKeyId.parse(key_id)
        return self.key(found.name, found.generation) if found else None


def make_host_keys(path: Path) -> HostKeys:
    """Reads the key file, which is made where there is none yet. Raises InvalidInput."""
    with contextlib.suppress(FileExistsError):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise
        except OSError as error:
            raise InvalidInput(f"host key file {path}: {error.strerror}.", "Name one with --host-keys.") from error
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(MIN_KEY_BYTES) + "\n")
    return read_host_keys(path)


def read_host_keys(path: Path) -> HostKeys:
    """Reads the key file: at least 32 random bytes, in any form. Raises InvalidInput, also where others may read it."""
    try:
        info = path.stat()
        data = path.read_bytes().strip()
    except OSError as error:
        hint = f"Make one: (umask 077; openssl rand -hex 32 > {path})"
        raise InvalidInput(f"host key file {path}: {error.strerror}.", hint) from error
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise InvalidInput(f"host key file {path}: others may read it.", f"chmod 600 {path}")
    if len(data) < MIN_KEY_BYTES:
        raise InvalidInput(f"host key file {path}: it has less than {MIN_KEY_BYTES} bytes.", "openssl rand -hex 32")
    return HostKeys(hashlib.sha256(data).digest())
