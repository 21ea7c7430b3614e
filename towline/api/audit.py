"""Who did what: one record per call that changes something or was denied, as a JSON line and in the store.

The line is written at once, to the logger `towline.audit`. The store gets the records in the journal `audit`, a moment
later: a caller does not wait for it, and a store that is out of reach does not refuse calls.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from towline import errors
from towline.store import Store
from towline.store.journal import Journal

log = logging.getLogger("towline.audit")
trouble = logging.getLogger("towline.api")

READS = ("Get", "BatchGet", "List")
DENIED = ("AccessDeniedException", "InvalidSignatureException", "UnrecognizedClientException")
NAMES = (
    "applicationName",
    "newApplicationName",
    "deploymentGroupName",
    "currentDeploymentGroupName",
    "newDeploymentGroupName",
    "deploymentConfigName",
    "deploymentId",
    "instanceName",
    "instanceNames",
    "ResourceArn",
    "tokenName",
)
"""Members that say what a call was about; nothing else of an input is recorded."""
FLUSH_SECONDS = 1.0
MOST_WAITING = 10_000
"""Records that wait for the store; what comes on top of them is only in the log."""


class Audit:
    """Writes records. `store` is asked for when there is something to write."""

    def __init__(self, store: Callable[[], Awaitable[Store]]) -> None:
        self._store = store
        self._journal: Journal | None = None
        self._waiting: list[Mapping[str, Any]] = []
        self._flushing: asyncio.Task[None] | None = None

    def record(
        self, operation: str, given: Mapping[str, Any], *, user: str, key_id: str, request_id: str, code: str = ""
    ) -> None:
        """Records a call; `code` is its error, empty for none. Calls that only read are left out unless denied."""
        if operation.startswith(READS) and code not in DENIED:
            return
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "user": user,
            "accessKeyId": key_id,
            "operation": operation,
            "requestId": request_id,
            "error": code or None,
            **{name: given[name] for name in NAMES if given.get(name)},
        }
        log.info("%s", json.dumps(entry, ensure_ascii=False))
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(entry)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush_soon())

    async def close(self) -> None:
        """Writes what waits."""
        if self._flushing:
            self._flushing.cancel()
        await self._flush()

    async def _flush_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        try:
            if self._journal is None:
                self._journal = Journal(await self._store(), "audit")
            await asyncio.to_thread(self._journal.append, *entries)
        except errors.TowlineError as error:
            self._waiting = entries + self._waiting
            trouble.warning("%d audit records wait for the store: %s", len(self._waiting), error)
