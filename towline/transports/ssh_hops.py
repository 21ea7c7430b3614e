"""The hops to a host over SSH, and asyncssh's options for each.

The worker's own `~/.ssh/config` is ignored unless the settings name a configuration file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncssh

from towline.errors import OurFault
from towline.model.fleet.instance import ProxyJump, SshSettings
from towline.transports.hostkeys import KeyWitness

CONNECT_SECONDS = 10.0
LOGIN_SECONDS = 30.0  # from the first byte to the session: a loaded worker does many handshakes at once
KEEPALIVE_SECONDS = 5.0
KEEPALIVE_MISSES = 3  # a connection without an answer for some 15 s is broken


@dataclass(frozen=True)
class Hop:
    """One hop: the host, and the credentials for it. Hashable, as the key of shared bastion connections."""

    host: str
    port: int | None
    username: str | None
    identity_files: tuple[str, ...]
    known_hosts_file: str | None
    config: str | None
    connect_seconds: float

    @property
    def text(self) -> str:
        """For display: user@host:port, as far as given."""
        user = f"{self.username}@" if self.username else ""
        return f"{user}{self.host}{f':{self.port}' if self.port else ''}"


def hop_to(name: str, settings: SshSettings) -> Hop:
    """The last hop to an instance; `host` defaults to its name."""
    given = settings.identity_file
    return Hop(
        host=settings.host or name,
        port=settings.port,
        username=settings.username,
        identity_files=(given,) if isinstance(given, str) else given or (),
        known_hosts_file=settings.known_hosts_file,
        config=settings.config,
        connect_seconds=settings.connect_timeout_seconds or CONNECT_SECONDS,
    )


def hop_to_bastion(jump: ProxyJump, behind: Hop) -> Hop:
    """The hop to a bastion; user, key and known_hosts default to those of the host behind it."""
    return Hop(
        host=jump.host,
        port=jump.port,
        username=jump.username or behind.username,
        identity_files=(jump.identity_file,) if jump.identity_file else behind.identity_files,
        known_hosts_file=jump.known_hosts_file or behind.known_hosts_file,
        config=behind.config,
        connect_seconds=behind.connect_seconds,
    )


def proxy_jump_of_config(hop: Hop) -> ProxyJump | None:
    """The ProxyJump for this host in a named configuration file: shared like any other bastion."""
    if not hop.config:
        return None
    path = Path(hop.config).expanduser()
    if not path.is_file():
        raise OurFault(f"SSH configuration file {path} is missing", code="SshConfigMissing")
    try:
        options = asyncssh.SSHClientConnectionOptions(config=[str(path)], host=hop.host)
    except Exception as error:  # asyncssh reads keys and known hosts here, too
        raise OurFault(f"SSH configuration file {path} cannot be used: {error}", code="SshConfigUnusable") from error
    tunnel = cast("str | None", options.tunnel)
    if not tunnel or tunnel == "none":
        return None
    user, _, place = tunnel.rpartition("@")
    host, _, port = place.partition(":")
    return ProxyJump(host=host, port=int(port or 22), username=user or None)


def connection_options(hop: Hop, trusted: asyncssh.SSHKnownHosts | None, witness: KeyWitness) -> dict[str, Any]:
    """asyncssh's options. Unset ones are left to a named configuration file, never to the worker's own."""
    options: dict[str, Any] = {
        "config": [str(Path(hop.config).expanduser())] if hop.config else None,
        # Prefer ciphers with hardware support: asyncssh handles ChaCha20 packet by packet in Python.
        "encryption_algs": () if hop.config else "^aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        "client_factory": lambda: witness,
        "preferred_auth": "publickey",
        "gss_host": None,
        "x509_trusted_certs": None,
        "connect_timeout": hop.connect_seconds + LOGIN_SECONDS,
        "login_timeout": LOGIN_SECONDS,
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVE_MISSES,
    }
    if trusted is not None:
        options["known_hosts"] = trusted
    if hop.port:
        options["port"] = hop.port
    if hop.username:
        options["username"] = hop.username
    if hop.identity_files:
        options |= {"client_keys": _identities(hop.identity_files), "agent_path": None}
    return options


def _identities(files: tuple[str, ...]) -> list[asyncssh.SSHKeyPair]:
    """Reads the private keys. One may be missing while another exists, as during key rotation."""
    pairs: list[asyncssh.SSHKeyPair] = []
    troubles: list[str] = []
    for name in files:
        path = Path(name).expanduser()
        try:
            pairs += asyncssh.load_keypairs(str(path))
        except FileNotFoundError:
            troubles.append(f"{path} is missing")
        except asyncssh.KeyEncryptionError:
            troubles.append(f"{path} has a passphrase, which cannot be entered here")
        except (OSError, ValueError) as error:
            troubles.append(f"{path} cannot be used: {error}")
    if not pairs:
        hint = "Put the key there, readable for the worker, or name another one as ssh.identityFile."
        raise OurFault(f"no identity file for SSH: {'; '.join(troubles)}", hint, code="IdentityFileUnusable")
    return pairs
