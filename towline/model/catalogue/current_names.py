"""What applications and groups are called now. Deployments remember their ids: a renamed group's show its new name.

Where a group no longer exists, its deployments keep the name that they had. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from towline.model.catalogue.records import Record
from towline.model.group.group import application_id_in, group_id_in


@dataclass(frozen=True)
class CurrentNames:
    """Names by id; without any, everything is called what it was."""

    applications: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of_records(cls, records: Mapping[str, Record]) -> CurrentNames:
        """Those of the catalogue's applications and groups."""
        applications, groups = {}, {}
        for key, record in records.items():
            kind, application, *group = key.split("/")
            if kind == "application":
                applications[application_id_in(record.value)] = application
            elif kind == "group":
                groups[group_id_in(application, group[0], record.value)] = (application, group[0])
        return cls(applications, groups)

    def of(self, application: str, group: str, application_id: str, group_id: str) -> tuple[str, str]:
        """What the application and the group of these ids are called that were called so."""
        return self.groups.get(group_id) or (self.applications.get(application_id, application), group)

    def application_id(self, application: str) -> str:
        """The id of the application that is called so; empty where there is none."""
        return next((one for one, name in self.applications.items() if name == application), "")


AS_THEN = CurrentNames()
"""For lists of which nobody says what is called how now."""
