"""A deployment as a line of a list, which deployments a list has, and how lists are put together. Pure.

The same lines are the entries of the journal `deployments`: one when the deployment is accepted, one when it has ended,
one when its rollback amended the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Any, Self

from towline.model import names
from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.current_names import CurrentNames
from towline.model.catalogue.revisions import Use
from towline.model.deployment.status import DeploymentStatus, ErrorCode
from towline.model.messages.view import DeploymentView

REFUSED = (ErrorCode.APPLICATION_MISSING, ErrorCode.DEPLOYMENT_GROUP_MISSING, ErrorCode.INVALID_REQUEST)
"""Ends of requests that named no group of ours, or nothing that can be read."""

Place = tuple[int, str]
"""Where a deployment stands in a list: when it was accepted, in ms since 1970, and its id."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
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
    location: str = ""  # of a revision that its label does not identify: its RevisionLocation as JSON
    error_code: str = ""
    application_id: str = ""  # empty where the group was not found
    group_id: str = ""

    @classmethod
    def of_view(cls, view: DeploymentView) -> Self:
        """The line of a deployment that has a view."""
        info = view.info
        return cls(
            deployment_id=info.deployment_id,
            application=info.application_name,
            group=info.deployment_group_name,
            status=info.status,
            revision=info.revision_label,
            start_time=info.create_time,
            close_time=info.complete_time,
            requested_by=view.progress.requested_by,
            rollback_of=info.undoes,
            location=location_text(info.revision),
            error_code=info.error_code,
            application_id=view.progress.application_id,
            group_id=view.progress.group_id,
        )

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Self:
        """As `as_entry` wrote it. Raises KeyError, ValueError, TypeError."""
        found = cls(**{member: intern(entry.get(key, "")) for member, key in _ENTRY.items()})
        if not found.deployment_id or not found.start_time:
            raise ValueError("no deployment's line")
        millis(found.start_time)
        return found

    def as_entry(self) -> dict[str, str]:
        """As the journal has it."""
        return {key: value for member, key in _ENTRY.items() if (value := getattr(self, member))}

    def as_json(self) -> dict[str, str]:
        """By CodeDeploy's names; what is not known is absent."""
        return {key: value for member, key in _JSON.items() if (value := getattr(self, member))}

    def as_use(self) -> Use | None:
        """The use of its revision; None for a rollback, and where the label does not say which revision it is."""
        location = _location(self.revision, self.location)
        return Use(location, self.deployment_id, self.group_id, millis(self.start_time) / 1000) if location else None

    def named(self, names_now: CurrentNames) -> ListedDeployment:
        """With the names that application and group have now."""
        application, group = names_now.of(self.application, self.group, self.application_id, self.group_id)
        if (application, group) == (self.application, self.group):
            return self
        return replace(self, application=application, group=group)

    @property
    def place(self) -> Place:
        """What lists are sorted by."""
        return millis(self.start_time), self.deployment_id

    @property
    def subject(self) -> str:
        """What it brings, for people: the revision, or whose rollback it is."""
        return names.rollback_label(self.rollback_of) if self.rollback_of else self.revision

    @property
    def is_open(self) -> bool:
        """Whether it may still change."""
        return self.close_time == ""

    @property
    def is_final(self) -> bool:
        """Whether its status is one that does not change any more, although its rollback may be under way."""
        return self.status in _FINAL


_FINAL = frozenset(status.value for status in DeploymentStatus if status.is_final)
_JSON = {
    "deployment_id": "deploymentId",
    "application": "applicationName",
    "group": "deploymentGroupName",
    "status": "status",
    "revision": "revision",
    "rollback_of": "rollbackOf",
    "start_time": "startTime",
    "close_time": "completeTime",
    "requested_by": "requestedBy",
    "error_code": "errorCode",
    "application_id": "applicationId",
    "group_id": "deploymentGroupId",
}
_ENTRY = {**_JSON, "location": "revisionLocation"}


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

    def has(self, one: ListedDeployment) -> bool:
        """Whether a deployment belongs to the list, its time aside: that bounds where the list is looked through."""
        return (
            self.group in ("", one.group)
            and self.application in ("", one.application)
            and (not self.statuses or one.status in self.statuses)
            and (not self.prefix or one.deployment_id.startswith(self.prefix))
            and (self.with_refused or one.error_code not in REFUSED)
        )

    @property
    def first(self) -> Place:
        """The lowest place that a deployment of the list may have."""
        return (millis(self.since), "") if self.since else (-1, "")

    @property
    def end(self) -> Place | None:
        """The place before which deployments of the list are; None: there is no such bound."""
        return (millis(self.until) + 1, "") if self.until else None


def millis(text: str) -> int:
    """A time in ms since 1970. Raises ValueError.

    >>> millis("2025-01-01T00:00:00.123456+00:00") - millis("2025-01-01T00:00:00Z")
    123
    """
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def location_text(location: RevisionLocation | None) -> str:
    """A location as JSON; empty for one that its label identifies."""
    if location is None or not location.store_location:
        return ""
    return location.model_dump_json(by_alias=True, exclude_none=True)


@lru_cache(1024)
def _location(label: str, text: str) -> RevisionLocation | None:
    try:
        return RevisionLocation.model_validate_json(text) if text else RevisionLocation.parse(label)
    except ValueError:
        return None
