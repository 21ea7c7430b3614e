"""Host keys: verification by known_hosts, and the error for a key that is not trusted.

A host is trusted through a line of known_hosts, or a certificate authority in such a file (`@cert-authority`).
There is no trust on first use: the error shows both fingerprints and the command that trusts the new key.
"""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import cast

import asyncssh

from towline.errors import HostKeyRefused, OurFault

DEFAULT_FILES = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


def known_hosts(file: str | None, host: str = "HOST", port: int = 22) -> asyncssh.SSHKnownHosts:
    """The trusted keys in a named file, which must exist, or in those of OpenSSH's own files that exist.

    Raises OurFault for a file that is missing (with the command to create it for `host`), unreadable or invalid.
    """
    paths = [Path(name).expanduser() for name in ([file] if file else DEFAULT_FILES)]
    texts: list[str] = []
    for path in paths:
        try:
            texts.append(path.read_text())
        except FileNotFoundError as error:
            if file:
                scan = f"ssh-keyscan {'' if port == 22 else f'-p {port} '}{shlex.quote(host)}"
                hint = (
                    f"Make it on the worker's machine: {scan} >> {shlex.quote(str(path))}, and compare the "
                    "fingerprints with the host's; or name another file as ssh.knownHostsFile."
                )
                raise OurFault(f"known_hosts file {path} is missing", hint, code="KnownHostsMissing") from error
        except (OSError, ValueError) as error:
            message = f"known_hosts file {path} cannot be read: {error}"
            raise OurFault(message, code="KnownHostsUnreadable") from error
    try:
        return _parsed("\n".join(texts))
    except ValueError as error:
        message = f"known_hosts file {', '.join(map(str, paths))} is damaged: {error}"
        raise OurFault(message, code="KnownHostsUnreadable") from error


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> asyncssh.SSHKnownHosts:
    """Parses known_hosts, cached by content: with thousands of hosts it takes longer than a handshake."""
    return asyncssh.import_known_hosts(text)


class KeyWitness(asyncssh.SSHClient):
    """Records the untrusted key that a host presented; never accepts one."""

    def __init__(self) -> None:
        self.shown: asyncssh.SSHKey | None = None
        self.is_authority = False

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """See asyncssh.SSHClient; called for keys that known_hosts does not have."""
        self.shown = key
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """See asyncssh.SSHClient; called for authorities that known_hosts does not have."""
        self.shown, self.is_authority = key, True
        return False


def host_key_refused(
    witness: KeyWitness, trusted: asyncssh.SSHKnownHosts, host: str, port: int, file: str | None, reason: str
) -> HostKeyRefused:
    """The error for an unknown or changed host key, with the command to trust it."""
    place = host if port == 22 else f"[{host}]:{port}"
    target = shlex.quote(str(Path(file or DEFAULT_FILES[0]).expanduser()))
    known = _known_keys(trusted, host, port)
    if witness.shown is None:
        hint = f"See what the host shows with: ssh-keyscan -p {port} {host}, and compare it with {target}."
        return HostKeyRefused(f"{host} has no host key that is trusted: {reason}", hint)
    shown = witness.shown
    fingerprint = shown.get_fingerprint()
    if witness.is_authority:
        line = f"@cert-authority {place} {_public(shown)}"
        message = f"{host} shows a certificate of an authority that is not trusted: {fingerprint}"
        return HostKeyRefused(message, f"If it is yours: echo {shlex.quote(line)} >> {target}")
    line = f"{place} {_public(shown)}"
    trust = f"echo {shlex.quote(line)} >> {target}"
    same_kind = [key for key in known if key.get_algorithm() == shown.get_algorithm()] or known
    if not same_kind:
        message = f"{host} is unknown; it shows {shown.get_algorithm()} {fingerprint}"
        return HostKeyRefused(message, f"If that is its fingerprint: {trust}")
    expected = ", ".join(key.get_fingerprint() for key in same_kind)
    message = f"{host} shows another host key than the one that is known: shown {fingerprint}, known {expected}"
    hint = (
        f"If the host was rebuilt and the shown one is right: ssh-keygen -R {shlex.quote(place)} -f {target} && {trust}"
    )
    return HostKeyRefused(message, hint)


def _known_keys(trusted: asyncssh.SSHKnownHosts, host: str, port: int) -> list[asyncssh.SSHKey]:
    keys, authorities, *_ = asyncssh.match_known_hosts(trusted, host, "", None if port == 22 else port)
    return [*cast("list[asyncssh.SSHKey]", keys), *cast("list[asyncssh.SSHKey]", authorities)]


def _public(key: asyncssh.SSHKey) -> str:
    """The key as one line without its comment."""
    return " ".join(key.export_public_key().decode().split()[:2])
