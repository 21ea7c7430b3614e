"""Lists of deployments: Temporal's and the store's, one line each, and which of them a text names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey

from towline import errors
from towline.model import names
from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.revisions import Use
from towline.model.deployment.report import IndexEntry
from towline.model.deployment.status import DeploymentStatus, ErrorCode
from towline.store.deployment_records import DeploymentRecords
from towline.temporal import asking

REFUSED = (ErrorCode.APPLICATION_MISSING, ErrorCode.DEPLOYMENT_GROUP_MISSING, ErrorCode.INVALID_REQUEST)
"""Ends of requests that named no group of ours, or nothing that can be read."""


@dataclass(frozen=True)
class DeploymentFilter:
    """Which deployments a list has; an empty member leaves none out.

    `since` and `until` bound the start, both included, as ISO 8601. Requests that ended as `REFUSED` are left out
    unless `with_refused`.
    """

    application: str = ""
    group: str = ""
    statuses: tuple[str, ...] = ()
    prefix: str = ""
    since: str = ""
    until: str = ""
    with_refused: bool = False

    def has(self, one: ListedDeployment, error_code: str = "") -> bool:
        """Whether a deployment belongs to the list."""
        return (
            self.application in ("", one.application)
            and self.group in ("", one.group)
            and (not self.statuses or one.status in self.statuses)
            and one.deployment_id.startswith(self.prefix)
            and (not self.since or _moment(one.start_time) >= _moment(self.since))
            and (not self.until or _moment(one.start_time) <= _moment(self.until))
            and (self.with_refused or error_code not in REFUSED)
        )


@dataclass(frozen=True)
class ListedDeployment:
    """One line of a list of deployments; times are ISO 8601, empty where there is none."""

    deployment_id: str
    application: str
    group: str
    status: str
    revision: str
    start_time: str
    close_time: str = ""
    requested_by: str = ""
    rollback_of: str = ""  # deployment id; then it has no revision of its own

    def as_json(self) -> dict[str, str]:
        """By CodeDeploy's names; what is not known is absent."""
        shown = {
            "deploymentId": self.deployment_id,
            "applicationName": self.application,
            "deploymentGroupName": self.group,
            "status": self.status,
            "revision": self.revision,
            "rollbackOf": self.rollback_of,
            "startTime": self.start_time,
            "completeTime": self.close_time,
            "requestedBy": self.requested_by,
        }
        return {key: value for key, value in shown.items() if value}

    def as_use(self) -> Use | None:
        """The use of its revision; None for a rollback, and where the label does not say which revision it is."""
        try:
            location = RevisionLocation.parse(self.revision)
        except ValueError:
            return None
        return Use(location, self.deployment_id, self.group, _moment(self.start_time).timestamp())

    @property
    def subject(self) -> str:
        """What it brings, for people: the revision, or whose rollback it is."""
        return names.rollback_label(self.rollback_of) if self.rollback_of else self.revision

    @property
    def is_open(self) -> bool:
        """Whether it may still change."""
        return self.close_time == ""


async def list_in_temporal(client: Client, wanted: DeploymentFilter, limit: int | None) -> list[ListedDeployment]:
    """Return the deployments that Temporal knows, the newest first. Raises `TemporalUnavailable`, `InvalidInput`."""
    found: list[ListedDeployment] = []
    with asking("listing deployments"):
        async for execution in client.list_workflows(visibility_query(wanted), limit=limit):
            found.append(listed(execution, await execution.memo_value(names.MEMO_BY, "", type_hint=str)))
    return sorted(found, key=lambda one: one.start_time, reverse=True)


def list_in_store(records: DeploymentRecords, wanted: DeploymentFilter, limit: int | None) -> list[ListedDeployment]:
    """Return the deployments that have a report, the newest first. Blocks."""
    every = ((_recorded(entry), entry.error_code) for entry in records.index())
    return list(islice((one for one, error_code in every if wanted.has(one, error_code)), limit))


def _recorded(entry: IndexEntry) -> ListedDeployment:
    return ListedDeployment(
        deployment_id=entry.deployment_id,
        application=entry.application_name,
        group=entry.deployment_group_name,
        status=entry.status,
        revision=entry.revision,
        rollback_of=entry.rollback_of,
        start_time=entry.create_time,
        close_time=entry.complete_time,
        requested_by=entry.requested_by,
    )


def visibility_query(wanted: DeploymentFilter) -> str:
    """Return Temporal's query for deployments. Raises `InvalidInput` for a text that cannot be searched for."""
    clauses = [f"WorkflowType = '{names.DEPLOYMENT}'"]
    if not wanted.with_refused:
        clauses.append(f"({names.SEARCH_REVISION} IS NOT NULL OR ExecutionStatus != 'Failed')")
    for attribute, value in ((names.SEARCH_APPLICATION, wanted.application), (names.SEARCH_GROUP, wanted.group)):
        if value:
            clauses.append(f"{attribute} = {_quoted(value)}")
    if wanted.statuses:
        clauses.append(f"{names.SEARCH_STATUS} IN ({', '.join(map(_quoted, wanted.statuses))})")
    if wanted.since:
        clauses.append(f"StartTime >= {_quoted(wanted.since)}")
    if wanted.until:
        clauses.append(f"StartTime <= {_quoted(wanted.until)}")
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


def _quoted(text: str) -> str:
    """A text in a visibility query. A quote cannot be written there so that every version reads it the same way."""
    if "'" in text or "\\" in text:
        raise errors.InvalidInput(f"{text!r} cannot be searched for.", "Names have letters, digits and +=,.@_- only.")
    return f"'{text}'"


def listed(execution: Any, requested_by: str = "") -> ListedDeployment:
    """An execution of Temporal's list; who asked for it is in its memo."""
    attributes = execution.typed_search_attributes

    def value(name: str) -> str:
        return attributes.get(SearchAttributeKey.for_keyword(name)) or ""

    revision = value(names.SEARCH_REVISION)
    is_rollback = revision.startswith(names.ROLLBACK_OF)
    return ListedDeployment(
        deployment_id=execution.id,
        application=value(names.SEARCH_APPLICATION),
        group=value(names.SEARCH_GROUP),
        status=_status(execution.status, value(names.SEARCH_STATUS)),
        revision="" if is_rollback else revision,
        rollback_of=revision.removeprefix(names.ROLLBACK_OF) if is_rollback else "",
        start_time=_iso(execution.start_time),
        close_time=_iso(execution.close_time),
        requested_by=requested_by,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _status(execution: WorkflowExecutionStatus | None, recorded: str) -> str:
    """The deployment's own word, unless it was ended from outside before it could tell."""
    if execution in (WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT):
        return DeploymentStatus.STOPPED.value
    return recorded or (DeploymentStatus.CREATED.value if execution == WorkflowExecutionStatus.RUNNING else "")


def _iso(time: datetime | None) -> str:
    return time.isoformat(timespec="milliseconds") if time else ""
