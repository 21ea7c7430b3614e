"""Who calls: the host that an access key is bound to, as long as the catalogue says that the key is good."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from towline.api.command_service.keys import HostKeyId, HostKeys
from towline.api.command_service.wire import SERVICES
from towline.api.errors import ApiError, access_denied
from towline.api.sigv4 import S3, Request, Verifier
from towline.codedeploy_agents.access_keys import KnownHost

SESSION_KEYS_REFUSED = (
    "This host signs with its EC2 instance role's session key, which only AWS can check. Give it the on-premises file: "
    "towline agent invite --codedeploy NAME"
)


class Hosts(Protocol):
    """The hosts that the catalogue has."""

    async def host(self, name: str, generation: int) -> KnownHost | None:
        """The host of a name, if it may sign in with its key of this generation."""


class SignIn:
    """Tells who signed a request. Raises ApiError with codes at which an agent reads its credentials again."""

    def __init__(self, keys: HostKeys, hosts: Hosts, now: Callable[[], float] = time.time) -> None:
        self._hosts = hosts
        self._verifier = Verifier(keys.find, now, (*SERVICES, S3), SESSION_KEYS_REFUSED)

    async def host(self, request: Request) -> KnownHost:
        """The host that signed. Raises ApiError."""
        caller = self._verifier.verify(request)
        named = HostKeyId.parse(caller.key.key_id)
        assert named, "the verifier finds hosts' keys only"
        host = await self._hosts.host(named.name, named.generation)
        if host is None:
            raise ApiError(
                "UnrecognizedClientException",
                f"The access key of {named.name} is not valid any more. Make a new one: towline agent invite "
                f"--codedeploy {named.name}",
            )
        return host


def check_identifier(host: KnownHost, identifier: str) -> None:
    """Raises ApiError where a host calls itself by another's name.

    An agent's identifier is the ARN of its on-premises file, whose last part is the instance's name unless it was
    registered by another one.
    """
    if identifier not in (host.name, *host.arns) and identifier.rpartition("/")[2] != host.name:
        raise access_denied(f"{identifier[:256]} is not {host.name}, to which this access key belongs.")
