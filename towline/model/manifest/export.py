"""Exports the catalogue's records as a towline.yaml that changes nothing when applied. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from towline.model.rollout.order import natural

Records = Mapping[str, Mapping[str, Any]]
"""Values by catalogue key, such as `group/shop/production`."""


def manifest_of(records: Records) -> dict[str, Any]:
    """The records in towline.yaml's shape; sections without records are left out.

    Owners are left out: `apply` keeps the recorded ones.
    """
    sections = {
        "applications": list(_applications(records)),
        "deploymentConfigs": [_without(value, "owner") for _, value in _of("config", records)],
        "ssh": {name: _without(value, "owner") for name, value in _of("ssh", records)},
        "instances": [_instance(value) for _, value in _of("instance", records)],
        "ec2": [_without(value, "owner") for _, value in _of("ec2", records)],
    }
    return {name: section for name, section in sections.items() if section}


def as_yaml(manifest: Mapping[str, Any]) -> str:
    """As text, in the order given."""
    text: str = yaml.safe_dump(dict(manifest), sort_keys=False, allow_unicode=True, width=120)
    return text


def _applications(records: Records) -> Iterator[dict[str, Any]]:
    for name, _ in _of("application", records):
        groups = [
            _without(value, "owner", "applicationName")
            for key, value in _of("group", records)
            if key.partition("/")[0] == name
        ]
        yield {"applicationName": name} | ({"deploymentGroups": groups} if groups else {})


def _instance(value: Mapping[str, Any]) -> dict[str, Any]:
    """Moves `use` into `ssh`: a record has it beside `ssh`, a file inside."""
    shown = _without(value, "owner", "use")
    if "use" in value:
        shown["ssh"] = {"use": value["use"], **shown.get("ssh", {})}
    return shown


def _of(kind: str, records: Records) -> list[tuple[str, Mapping[str, Any]]]:
    """Names and values of one kind, in natural order."""
    found = ((key.partition("/")[2], value) for key, value in records.items() if key.partition("/")[0] == kind)
    return sorted(found, key=lambda item: natural(item[0]))


def _without(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if name not in names}
