"""The revisions of an application: registered by a call, or by the first deployment of them. Pure.

Source: CodeDeploy's GenericRevisionInfo and ListApplicationRevisions. Registering again changes the description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from towline.model.bundle.revision import RevisionLocation

QUOTE = '"'


@dataclass(frozen=True)
class Use:
    """A deployment of a revision; `at` in seconds since 1970."""

    location: RevisionLocation
    deployment_id: str
    group: str  # its id
    at: float


@dataclass(frozen=True)
class Revision:
    """One revision of an application; times in seconds since 1970, None where it was never deployed.

    `groups` are those whose newest deployment was of this revision.
    """

    location: RevisionLocation
    register_time: float
    description: str = ""
    first_used: float | None = None
    last_used: float | None = None
    groups: tuple[str, ...] = ()


class SortBy(StrEnum):
    """CodeDeploy's ApplicationRevisionSortBy."""

    REGISTER_TIME = "registerTime"
    FIRST_USED = "firstUsedTime"
    LAST_USED = "lastUsedTime"


class Deployed(StrEnum):
    """CodeDeploy's ListStateFilterAction: whether a revision must be some group's newest."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    IGNORE = "ignore"


@dataclass(frozen=True)
class Registration:
    """An entry of the journal `revisions`."""

    application: str
    location: RevisionLocation
    description: str
    at: float

    def as_entry(self) -> dict[str, Any]:
        """As it is written."""
        location = self.location.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"application": self.application, "revision": location, "description": self.description, "at": self.at}

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Self:
        """As it was written. Raises ValueError, KeyError."""
        location = RevisionLocation.model_validate(entry["revision"])
        return cls(entry["application"], location, entry["description"], float(entry["at"]))


@dataclass
class Registrations:
    """All registrations, folded: by application and identity."""

    by_application: dict[str, dict[str, Revision]] = field(default_factory=dict)

    def add(self, one: Registration) -> None:
        """Takes a registration in; the first one's time and the last one's description count."""
        revisions = self.by_application.setdefault(one.application, {})
        known = revisions.get(identity(one.location))
        register_time = min(known.register_time, one.at) if known else one.at
        revisions[identity(one.location)] = Revision(one.location, register_time, one.description)


def identity(location: RevisionLocation) -> str:
    """What makes two locations the same revision: bucket, key, version and ETag, or repository and commit.

    AWS's tools write an ETag with its quotes or without.

    >>> one, other = (f's3://b/shop.zip?etag={tag}' for tag in ('"1"', "1"))
    >>> identity(RevisionLocation.parse(one)) == identity(RevisionLocation.parse(other))
    True
    """
    e_tag = location.s3_location.e_tag if location.s3_location else None
    return f"{location.label} {(e_tag or '').strip(QUOTE)}"


@dataclass
class Uses:
    """Deployments of an application's revisions, summed up; the order in which they are added does not matter."""

    by_revision: dict[str, Revision] = field(default_factory=dict)
    newest: dict[str, tuple[float, str]] = field(default_factory=dict)
    """When the newest deployment of a group was, and of which revision, by the group's id."""

    @classmethod
    def of(cls, uses: Iterable[Use]) -> Self:
        """The sum of these."""
        found = cls()
        for use in uses:
            found.add(use)
        return found

    def add(self, use: Use) -> None:
        """Takes a deployment in."""
        key = identity(use.location)
        text = f"Application revision registered by Deployment ID: {use.deployment_id}"
        self._add_revision(key, Revision(use.location, use.at, text, use.at, use.at))
        self.newest[use.group] = max(self.newest.get(use.group, (0.0, "")), (use.at, key))

    def by_name(self, groups: Mapping[str, tuple[str, str]]) -> Uses:
        """With the groups that there are now (application and name by id) by their names."""
        return Uses(self.by_revision, {groups[one][1]: use for one, use in self.newest.items() if one in groups})

    def joined(self, others: Uses) -> Uses:
        """The sum of both."""
        both = Uses(dict(self.by_revision), dict(self.newest))
        for key, revision in others.by_revision.items():
            both._add_revision(key, revision)
        for group, use in others.newest.items():
            both.newest[group] = max(both.newest.get(group, use), use)
        return both

    def _add_revision(self, key: str, revision: Revision) -> None:
        known = self.by_revision.get(key, revision)
        first = min(known, revision, key=lambda one: one.register_time)
        last = max(known.last_used or 0.0, revision.last_used or 0.0)
        self.by_revision[key] = replace(first, last_used=last)


def with_uses(registered: Mapping[str, Revision], uses: Uses) -> list[Revision]:
    """An application's revisions (`registered`, by identity) with what its deployments say of them.

    A revision that was never registered is registered by its first deployment.
    """
    found = dict(registered)
    for key, used in uses.by_revision.items():
        known = found.get(key, used)
        found[key] = replace(known, first_used=used.first_used, last_used=used.last_used)
    for group, (_, key) in sorted(uses.newest.items()):
        found[key] = replace(found[key], groups=(*found[key].groups, group))
    return list(found.values())


def selected(
    revisions: Iterable[Revision], *, bucket: str = "", key_prefix: str = "", deployed: Deployed = Deployed.IGNORE
) -> list[Revision]:
    """Those that ListApplicationRevisions asks for."""

    def is_wanted(one: Revision) -> bool:
        s3 = one.location.s3_location
        if bucket and not (s3 and s3.bucket == bucket and s3.key.startswith(key_prefix)):
            return False
        return deployed is Deployed.IGNORE or bool(one.groups) == (deployed is Deployed.INCLUDE)

    return [one for one in revisions if is_wanted(one)]


def in_order(revisions: Sequence[Revision], by: SortBy, *, descending: bool = False) -> list[Revision]:
    """Sorted as asked for; those that were never used come first in ascending order."""
    return sorted(revisions, key=lambda one: place_of(one, by), reverse=descending)


def place_of(one: Revision, by: SortBy) -> tuple[float, str]:
    """What a revision is sorted by: a time and, between equal ones, its identity."""
    times = {
        SortBy.REGISTER_TIME: one.register_time,
        SortBy.FIRST_USED: one.first_used or 0.0,
        SortBy.LAST_USED: one.last_used or 0.0,
    }
    return times[by], identity(one.location)
