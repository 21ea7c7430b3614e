"""The API servers of one fleet: they find each other as Temporal's workers for `towline@agents`."""

from __future__ import annotations

import base64
import binascii
import contextlib
import time
from collections.abc import Callable

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.client import Client
from temporalio.service import RPCError

from towline.errors import TemporalUnavailable
from towline.model import names
from towline.temporal import workers_at_work

AGENTS_AT = " agents "
"""In the identity of an API server's worker: the address at which other API servers reach it follows."""
KEPT_SECONDS = 5.0


async def api_servers(client: Client) -> list[str]:
    """The addresses of the API servers at work. Raises TemporalUnavailable."""
    try:
        identities = await workers_at_work(client, names.AGENTS_TASK_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    except RPCError as error:
        raise TemporalUnavailable(f"Temporal does not say which API servers are at work: {error.message}") from error
    return [address for one in identities if (address := address_in(one))]


def address_in(identity: str) -> str:
    """The address in a worker's identity.

    >>> address_in("12@host agents https://10.0.0.5:8014 store ab12"), address_in("12@host store ab12")
    ('https://10.0.0.5:8014', '')
    """
    return identity.partition(AGENTS_AT)[2].partition(" ")[0]


def process_prefix(address: str, token: str) -> str:
    """What the ids of a process's conversations begin with: where it is, and one token for each of its starts."""
    return f"{base64.urlsafe_b64encode(address.encode()).decode().rstrip('=')}.{token}."


def owner_of(conversation_id: str) -> str:
    """The address of the API server whose conversation it is; empty where the id is none of ours.

    >>> owner_of(process_prefix("https://10.0.0.5:8014", "ab") + "7"), owner_of("?")
    ('https://10.0.0.5:8014', '')
    """
    text = conversation_id.partition(".")[0]
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


class Peers:
    """The other API servers, asked of Temporal at most every few seconds, and only while something is deployed."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.own = ""
        self._client, self._clock = client, clock
        self._known: frozenset[str] = frozenset()
        self._read_at = -KEPT_SECONDS

    async def addresses(self) -> frozenset[str]:
        """The other servers' addresses; as they were where Temporal does not answer."""
        if self._clock() - self._read_at >= KEPT_SECONDS:
            self._read_at = self._clock()
            with contextlib.suppress(TemporalUnavailable):
                self._known = frozenset(await api_servers(self._client)) - {self.own}
        return self._known
