"""The client's side of the catalogue: records in the four `Catalogue` workflows, for CLI, API and activities.

A write starts the workflow if it is not there yet (update-with-start), so a new installation needs no preparation.
What the records mean is in `model/`; a record's key is `kind/name`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from towline import errors
from towline.creator import whoami
from towline.model import names
from towline.model.catalogue.table import (
    PAGE_BYTES,
    PAGE_LIMIT,
    Batch,
    BatchAnswer,
    CatalogueState,
    Change,
    Keys,
    Kind,
    Page,
    PageRequest,
    Record,
    Refusal,
)
from towline.model.fleet.instance import InstanceRecord
from towline.model.group.config import PREDEFINED, DeploymentConfig
from towline.model.group.group import DeploymentGroup
from towline.singleflight import SharedReads
from towline.temporal import asking, is_absent

READ_TIMEOUT = timedelta(seconds=5)
WRITE_TIMEOUT_SECONDS = 20.0

T = TypeVar("T")


class CatalogueConflict(errors.Conflict):
    """Somebody else changed records since they were read; `refused` says which, and what they are now.

    `written` are the versions of those records whose batches were made all the same.
    """

    def __init__(self, refused: Sequence[Refusal], written: Mapping[str, int] | None = None) -> None:
        self.refused = tuple(refused)
        self.written = dict(written or {})
        shown = ", ".join(_tell(refusal) for refusal in self.refused[:5])
        more = f" and {len(self.refused) - 5} more" if len(self.refused) > 5 else ""
        super().__init__(
            f"changed by somebody else meanwhile: {shown}{more}", "Look again, and repeat what is still wanted."
        )


def _tell(refusal: Refusal) -> str:
    if refusal.current is None:
        return f"{refusal.key} (was removed)"
    return f"{refusal.key} (by {refusal.current.by or 'somebody'} at {refusal.current.at or 'an unknown time'})"


class Catalogue:
    """What exists: applications, groups, configurations, instances, settings. `by` is noted with each write."""

    def __init__(self, client: Client, *, task_queue: str = names.TASK_QUEUE, by: str = "") -> None:
        self._client = client
        self._task_queue = task_queue
        self._by = by or whoami()
        self._reads: SharedReads[dict[str, Record]] = SharedReads()

    # ── records ──

    async def read_all(self, *kinds: Kind) -> dict[str, Record]:
        """All records of these kinds by key, in order, with one question to each part; raises `TemporalUnavailable`.

        Deployments that begin together read it together: each by itself, they would overload the workers that answer.
        """
        return dict(await self._reads.read(" ".join(kinds), lambda: self._read_all(*kinds)))

    async def _read_all(self, *kinds: Kind) -> dict[str, Record]:
        parts = await asyncio.gather(*(self._read_part(part, kinds) for part in names.catalogue_workflow_ids()))
        records = [record for part in parts for record in part]
        return {record.key: record for record in sorted(records, key=lambda record: record.key)}

    async def read(self, keys: Iterable[str]) -> dict[str, Record]:
        """The records of these keys that exist; raises `TemporalUnavailable`."""
        parts: dict[str, list[str]] = {}
        for key in keys:
            parts.setdefault(names.catalogue_workflow_id(key), []).append(key)
        found = await asyncio.gather(*(self._read_keys(part, wanted) for part, wanted in parts.items()))
        return {record.key: record for records in found for record in records}

    async def write(self, changes: Iterable[Change]) -> dict[str, int]:
        """Makes the changes and returns the new versions by key.

        A batch (records of one part) is made whole or not at all; the parts are independent, so that after a
        `CatalogueConflict` other changes may have been made. Writing what already is does no harm.
        Raises `CatalogueConflict`, `TemporalUnavailable`.
        """
        parts: dict[str, list[Change]] = {}
        for change in changes:
            parts.setdefault(names.catalogue_workflow_id(change.key), []).append(change)
        answers = await asyncio.gather(*(self._write_part(part, wanted) for part, wanted in parts.items()))
        refused = [refusal for _, refusals in answers for refusal in refusals]
        written = {key: version for versions, _ in answers for key, version in versions.items()}
        if refused:
            raise CatalogueConflict(sorted(refused, key=lambda refusal: refusal.key), written)
        return written

    # ── what the records mean ──

    async def group(self, application: str, name: str) -> DeploymentGroup | None:
        """A deployment group, or None."""
        key = group_key(application, name)
        found = (await self.read([key])).get(key)
        return DeploymentGroup.model_validate(found.value) if found else None

    async def groups(self) -> dict[str, DeploymentGroup]:
        """All deployment groups by `application/group`."""
        return of_kind(await self.read_all("group"), "group", DeploymentGroup.model_validate)

    async def config(self, name: str) -> DeploymentConfig | None:
        """A deployment configuration, predefined or custom, or None."""
        if name in PREDEFINED:
            return PREDEFINED[name]
        key = f"config/{name}"
        found = (await self.read([key])).get(key)
        return DeploymentConfig.model_validate(found.value) if found else None

    async def configs(self) -> dict[str, DeploymentConfig]:
        """The custom deployment configurations by name."""
        return of_kind(await self.read_all("config"), "config", DeploymentConfig.model_validate)

    async def instances(self) -> dict[str, InstanceRecord]:
        """All declared instances by name."""
        return of_kind(await self.read_all("instance"), "instance", InstanceRecord.model_validate)

    async def setting(self, name: str) -> dict[str, Any]:
        """A setting, empty where it was never written."""
        key = f"setting/{name}"
        found = (await self.read([key])).get(key)
        return dict(found.value) if found else {}

    async def write_setting(self, name: str, value: dict[str, Any]) -> None:
        """Writes a setting; the last writer wins, since each writes the whole of it."""
        key = f"setting/{name}"
        for _ in range(5):
            found = (await self.read([key])).get(key)
            if found and found.value == value:
                return
            try:
                await self.write([Change(key=key, version=found.version if found else None, value=value)])
            except CatalogueConflict:
                continue
            return
        raise errors.Conflict(f"{key} is being changed by several at once", "Try again.")

    async def store_address(self) -> str:
        """The address of the store that workers use (`file:///…`, `s3://…`), empty before the first worker."""
        return str((await self.setting("store")).get("address", ""))

    async def write_store_address(self, address: str) -> None:
        """A worker tells at its start where its store is, for clients; writes only a change."""
        await self.write_setting("store", {"address": address})

    # ── one part ──

    async def _read_part(self, part: str, kinds: tuple[Kind, ...]) -> list[Record]:
        records: list[Record] = []
        after = ""
        while True:
            page = await self._query(part, "page", PageRequest(kinds=kinds, after=after))
            records.extend(page.records)
            if not page.has_more:
                return records
            after = page.records[-1].key

    async def _read_keys(self, part: str, keys: list[str]) -> list[Record]:
        records: list[Record] = []
        while keys:
            page = await self._query(part, "read", Keys(keys=tuple(keys[:PAGE_LIMIT])))
            records.extend(page.records)
            asked = keys[:PAGE_LIMIT]
            done = asked.index(page.records[-1].key) + 1 if page.has_more else len(asked)
            keys = keys[done:]
        return records

    async def _query(self, part: str, query: str, request: PageRequest | Keys) -> Page:
        with asking(f"reading {part}"):
            try:
                page: Page = await self._client.get_workflow_handle(part).query(
                    query, request, result_type=Page, rpc_timeout=READ_TIMEOUT
                )
            except RPCError as error:
                if is_absent(error):
                    return Page()  # nothing was ever written to this part
                raise
            return page

    async def _write_part(self, part: str, changes: list[Change]) -> tuple[dict[str, int], list[Refusal]]:
        versions: dict[str, int] = {}
        refused: list[Refusal] = []
        for batch in _batches(changes, self._by):
            answer = await self._update(part, batch)
            versions.update(answer.versions)
            refused.extend(answer.refused)
        return versions, refused

    async def _update(self, part: str, batch: Batch) -> BatchAnswer:
        with asking(f"writing {part}"):
            try:
                return await self._update_with_start(part, batch)
            except WorkflowAlreadyStartedError:
                # The part's last run was ended from outside (terminated): an empty one in its place would lose
                # what it kept. So it goes on from there.
                await self._revive(part)
                return await self._update_with_start(part, batch)

    async def _update_with_start(self, part: str, batch: Batch) -> BatchAnswer:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            names.CATALOGUE,
            CatalogueState(),
            id=part,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=names.TASK_TIMEOUT,
        )
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                answer: BatchAnswer = await self._client.execute_update_with_start_workflow(
                    "write", batch, start_workflow_operation=start, result_type=BatchAnswer
                )
        except (WorkflowAlreadyStartedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError):
            # The operation keeps the error in a future of its own, which complains unless somebody takes it.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await start.workflow_handle()
            raise
        return answer

    async def _revive(self, part: str) -> None:
        handle = self._client.get_workflow_handle(part)
        state = await handle.query("state", result_type=CatalogueState, rpc_timeout=READ_TIMEOUT)
        await self._client.start_workflow(
            names.CATALOGUE,
            state,
            id=part,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=names.TASK_TIMEOUT,
        )


def of_kind(records: Mapping[str, Record], kind: Kind, load: Callable[[Any], T]) -> dict[str, T]:
    """The records of one kind, as what they mean, by name."""
    prefix = f"{kind}/"
    return {key.removeprefix(prefix): load(found.value) for key, found in records.items() if key.startswith(prefix)}


def group_key(application: str, group: str) -> str:
    """The key of a deployment group's record."""
    return f"group/{application}/{group}"


def _batches(changes: Sequence[Change], by: str) -> Iterable[Batch]:
    """Cuts changes into batches that one payload holds."""
    batch: list[Change] = []
    size = 0
    for change in changes:
        more = len(change.model_dump_json())
        if batch and (len(batch) == PAGE_LIMIT or size + more > PAGE_BYTES):
            yield Batch(changes=tuple(batch), by=by)
            batch, size = [], 0
        batch.append(change)
        size += more
    if batch:
        yield Batch(changes=tuple(batch), by=by)
