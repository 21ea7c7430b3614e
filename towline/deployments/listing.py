"""Lists of deployments: the journal's, with Temporal's laid over it, and which of them a text names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey

from towline import errors
from towline.deployments.names_now import NamesNow
from towline.deployments.store_access import StoreAccess
from towline.model import names
from towline.model.catalogue.revisions import Uses
from towline.model.deployment.book import DeploymentBook, newest
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment, Place, location_text
from towline.model.deployment.memo import DeploymentMemo
from towline.model.deployment.status import DeploymentStatus, ErrorCode
from towline.singleflight import SharedReads
from towline.temporal import asking

SECONDS_BETWEEN_READS = 0.05

UNRECORDED = (
    "(ExecutionStatus IN ('Running', 'Terminated', 'TimedOut', 'Canceled')"
    f" OR {names.SEARCH_APPLICATION} IS NULL OR {names.SEARCH_REVISION} IS NULL)"
)
"""What the journal may lack: what runs, what was ended from outside, and requests that could not be read."""


class DeploymentLists:
    """Lists of deployments; where the store is out of reach, of those that Temporal still knows."""

    def __init__(self, client: Client, storage: StoreAccess, names_now: NamesNow) -> None:
        self._client, self._storage, self._names_now = client, storage, names_now
        self._reads: SharedReads[Mapping[str, ListedDeployment]] = SharedReads(SECONDS_BETWEEN_READS)

    async def newest(
        self, wanted: DeploymentFilter, limit: int | None, before: Place | None = None
    ) -> list[ListedDeployment]:
        """The newest deployments of a list, before a place in it; at most `limit`, None: all.

        Raises `TemporalUnavailable`, `InvalidInput` for a text that cannot be searched for.
        """
        book, others = await self._read()
        if book is None:
            others = await self._in_temporal(visibility_query(wanted))
        return newest(book or DeploymentBook(), others, wanted, limit, before, await self._names_now.get())

    async def uses(self, application: str) -> Uses:
        """The uses of an application's revisions."""
        book, others = await self._read()
        if book is None:
            others = await self._in_temporal(visibility_query(DeploymentFilter(application)))
        names_now = await self._names_now.get()
        application_id = names_now.application_id(application)
        live = (one.as_use() for one in others.values() if one.application_id == application_id)
        uses = (book or DeploymentBook()).uses(application_id).joined(Uses.of(use for use in live if use))
        return uses.by_name(names_now.groups)

    async def _read(self) -> tuple[DeploymentBook | None, Mapping[str, ListedDeployment]]:
        """The recorded deployments and, read before them, those that may not be recorded; None, {}: no store."""
        journal = await self._storage.journal_if_any()
        if journal is None:
            return None, {}
        others = await self._reads.read("", lambda: self._in_temporal(f"{DEPLOYMENTS} AND {UNRECORDED}"))
        return await journal.read(), others

    async def _in_temporal(self, query: str) -> Mapping[str, ListedDeployment]:
        found: dict[str, ListedDeployment] = {}
        with asking("listing deployments"):
            async for execution in self._client.list_workflows(query):
                one = listed(execution, await execution.memo())
                found.setdefault(one.deployment_id, one)  # of an id that was used again, the newest
        return found


DEPLOYMENTS = f"WorkflowType = '{names.DEPLOYMENT}'"


def visibility_query(wanted: DeploymentFilter) -> str:
    """Return Temporal's query for deployments. Raises `InvalidInput` for a text that cannot be searched for."""
    clauses = [DEPLOYMENTS]
    for attribute, value in ((names.SEARCH_APPLICATION, wanted.application), (names.SEARCH_GROUP, wanted.group)):
        if value:
            clauses.append(f"{attribute} = {_quoted(value)}")
    if wanted.prefix:
        clauses.append(f"WorkflowId STARTS_WITH {_quoted(wanted.prefix)}")
    return " AND ".join(clauses)


def only_id(text: str, found: list[str]) -> str:
    """Return the one id that begins with the text. Raises `NotFound`, or `Conflict` when there are several."""
    if not found:
        raise errors.NotFound(f"there is no deployment {text!r}.", "See: towline list")
    if len(found) > 1 and text not in found:
        shown = ", ".join(found[:5]) + (" …" if len(found) > 5 else "")
        raise errors.Conflict(f"the id {text!r} is ambiguous: {shown}.", "Write more of it.")
    return text if text in found else found[0]


def active_id(found: list[ListedDeployment]) -> str:
    """Return the active one's id, empty for none.

    In progress comes before queued, and before one that waits for its rollback.
    """
    working = [one for one in found if one.is_open and one.status == DeploymentStatus.IN_PROGRESS.value]
    active = working or [one for one in found if one.is_open]
    return active[0].deployment_id if active else ""


def listed(execution: Any, memo: Mapping[str, Any]) -> ListedDeployment:
    """An execution of Temporal's list."""
    attributes = execution.typed_search_attributes

    def value(name: str) -> str:
        return attributes.get(SearchAttributeKey.for_keyword(name)) or ""

    revision = value(names.SEARCH_REVISION)
    is_rollback = revision.startswith(names.ROLLBACK_OF)
    known = DeploymentMemo.read(memo)
    is_refused = execution.status is WorkflowExecutionStatus.FAILED and not revision
    return ListedDeployment(
        deployment_id=execution.id,
        application=value(names.SEARCH_APPLICATION),
        group=value(names.SEARCH_GROUP),
        status=_status(execution.status, value(names.SEARCH_STATUS)),
        revision="" if is_rollback else revision,
        rollback_of=revision.removeprefix(names.ROLLBACK_OF) if is_rollback else "",
        start_time=_iso(execution.start_time),
        close_time=_iso(execution.close_time),
        requested_by=str(memo.get(names.MEMO_BY, "")),
        location=location_text(known.info.revision) if known else "",
        error_code=ErrorCode.INVALID_REQUEST if is_refused else "",
        application_id=known.application_id if known else "",
        group_id=known.group_id if known else "",
    )


def _quoted(text: str) -> str:
    """A text in a visibility query. A quote cannot be written there so that every version reads it the same way."""
    if "'" in text or "\\" in text:
        raise errors.InvalidInput(f"{text!r} cannot be searched for.", "Names have letters, digits and +=,.@_- only.")
    return f"'{text}'"


def _status(execution: WorkflowExecutionStatus | None, recorded: str) -> str:
    """The deployment's own word, unless it was ended from outside before it could tell."""
    if execution in (WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT):
        return DeploymentStatus.STOPPED.value
    return recorded or (DeploymentStatus.CREATED.value if execution == WorkflowExecutionStatus.RUNNING else "")


def _iso(time: datetime | None) -> str:
    return time.isoformat(timespec="milliseconds") if time else ""
