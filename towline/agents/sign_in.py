"""How requests of towline's agent are signed, and how a signature is judged. Pure but for the nonces that are kept.

Signed by the host's own Ed25519 key: method, path, host name, time, a nonce, and the SHA-256 of the body. So neither a
request that is sent again nor another host's key is of use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from towline.errors import AuthenticationRefused

WINDOW_SECONDS = 60.0
DOMAIN = "towline-agent-v1"
TOKEN_BYTES = 32

_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,100}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Signature:
    """Who signed a request, when, and how; from its headers `x-towline-…`."""

    name: str
    key_id: str
    time: str
    nonce: str
    signature: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Signature:
        """Read the headers of a request. Raises AuthenticationRefused where they are missing or malformed."""
        name, key_id, time, nonce = (headers.get(f"x-towline-{one}", "") for one in ("name", "key", "time", "nonce"))
        try:
            signature = base64.b64decode(headers.get("x-towline-signature", ""), validate=True)
        except binascii.Error:
            signature = b""
        is_formed = _NAME.fullmatch(name) and _KEY_ID.fullmatch(key_id) and _NONCE.fullmatch(nonce)
        if not is_formed or not re.fullmatch(r"[0-9]{1,12}", time) or len(signature) != 64:
            raise AuthenticationRefused("the request is not signed as towline's agent signs", code="NotSigned")
        return cls(name, key_id, time, nonce, signature)

    def check(self, public_key: bytes, method: str, path: str, body: bytes) -> None:
        """Raises AuthenticationRefused unless this key signed this request."""
        try:
            message = signed_text(method, path, self.name, self.time, self.nonce, body)
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, message)
        except (InvalidSignature, ValueError):
            raise AuthenticationRefused(
                f"the signature of {self.name} does not fit the request", code="WrongSignature"
            ) from None


def signed_text(method: str, path: str, name: str, time: str, nonce: str, body: bytes) -> bytes:
    """What is signed."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join((DOMAIN, method, path, name, time, nonce, digest)).encode()


def check_time(signed: Signature, now: float) -> None:
    """Raises AuthenticationRefused for a request that was signed too long ago, or by a clock that is ahead."""
    skew = int(signed.time) - now
    if abs(skew) > WINDOW_SECONDS:
        how = f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        raise AuthenticationRefused(f"the clock of {signed.name} is {how}", "Set it, by NTP.", code="ClockSkew")


class Nonces:
    """The nonces of the last requests, so that none is served twice."""

    def __init__(self) -> None:
        self._new: set[tuple[str, str]] = set()
        self._old: set[tuple[str, str]] = set()
        self._since = 0.0

    def check(self, signed: Signature, now: float) -> None:
        """Raises AuthenticationRefused for a request that was served before."""
        if now - self._since >= 2 * WINDOW_SECONDS:  # of what is older the time is refused
            is_recent = now - self._since < 4 * WINDOW_SECONDS
            self._old, self._new, self._since = (self._new if is_recent else set()), set(), now
        one = (signed.name, signed.nonce)
        if one in self._new or one in self._old:
            raise AuthenticationRefused(f"a request of {signed.name} came twice", code="Replayed")
        self._new.add(one)


def key_id_of(public_key: bytes) -> str:
    """The short name of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def new_token() -> str:
    """A token for an invitation: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
