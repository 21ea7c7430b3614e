"""What the store remembers of deployments, for people: reports, the index of reports, instances' records and logs.

This is where `list`, `status`, `logs` and `report` look when Temporal has forgotten. All verbs block.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from towline import errors
from towline.model.deployment.report import DeploymentReport, IndexEntry
from towline.model.messages import (
    DeploymentOrder,
    InstanceReport,
    fleet_prefix,
    instance_key,
    log_key,
    order_key,
    report_key,
)
from towline.model.rollout.order import natural
from towline.store import Store, open_store
from towline.store.parallel import READERS, in_parallel


class Records:
    """Reads one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def report(self, deployment_id: str) -> DeploymentReport | None:
        """A deployment's report, or None where none was written, or it cannot be read."""
        data = self._get(report_key(deployment_id))
        try:
            return DeploymentReport.read(data) if data else None
        except ValueError:
            return None

    def instances(self, deployment_id: str, names: Iterable[str]) -> dict[str, InstanceReport]:
        """The records of those instances that have one."""

        def read(name: str) -> tuple[str, InstanceReport | None]:
            data = self._get(instance_key(deployment_id, name))
            try:
                return name, InstanceReport.model_validate_json(data) if data else None
            except ValueError:
                return name, None  # torn, or of a newer version: the status is known from elsewhere

        return {name: found for name, found in in_parallel(read, names) if found}

    def fleet(self, deployment_id: str) -> tuple[str, ...]:
        """The names of a deployment's instances in rollout order; empty where its fleet is not frozen yet."""
        keys = sorted(self.store.keys(fleet_prefix(deployment_id)), key=natural)
        pages = [page for page in in_parallel(self._json, keys) if page]
        return tuple(target["name"] for page in pages for target in page.get("targets", ()))

    def order(self, deployment_id: str) -> DeploymentOrder | None:
        """What a deployment froze for its hosts, the revision among it; None where it never came so far."""
        data = self._get(order_key(deployment_id))
        try:
            return DeploymentOrder.model_validate_json(data) if data else None
        except ValueError:
            return None

    def log(self, deployment_id: str, instance: str) -> bytes | None:
        """The script log of an instance, or None."""
        return self._get(log_key(deployment_id, instance))

    def index(self) -> Iterator[IndexEntry]:
        """The lines of all reports, the newest first; read in blocks, so that who needs few reads few."""
        keys = sorted(self.store.keys("index/"), reverse=True)
        for start in range(0, len(keys), READERS):
            yield from filter(None, in_parallel(self._index_entry, keys[start : start + READERS]))

    def ids_of_group(self, where: str, most: int) -> list[str]:
        """The ids of the newest reports of a group (`APP/GROUP`), the newest first."""
        of_group = (
            line.deployment_id
            for line in self.index()
            if f"{line.application_name}/{line.deployment_group_name}" == where
        )
        return list(islice(of_group, most))

    def ids_beginning_with(self, text: str) -> list[str]:
        """The ids of reports that begin so."""
        ids = (key.partition("_")[2].removesuffix(".json") for key in self.store.keys("index/"))
        return sorted(one for one in ids if one.startswith(text))

    def _index_entry(self, key: str) -> IndexEntry | None:
        data = self._get(key)
        try:
            return IndexEntry.model_validate_json(data) if data else None
        except ValueError:
            return None

    def _json(self, key: str) -> Any:
        data = self._get(key)
        try:
            return json.loads(data) if data else None
        except ValueError:
            return None

    def _get(self, key: str) -> bytes | None:
        try:
            return self.store.get(key)
        except errors.NotFound:
            return None


def open_for_client(address: str) -> Store:
    """The store at an address that a worker wrote into the catalogue, as seen from here.

    Raises `NotFound` for a directory that is not on this machine.
    """
    store = open_store(address)
    local = address.removeprefix("file://")
    if not address.startswith("s3://") and not Path(local).expanduser().is_dir():
        raise errors.NotFound(
            f"the store {address} is a directory on the worker's machine, not on this one.",
            "Run this there, or give worker and clients a store that both reach: TOWLINE_STORE=s3://BUCKET/PREFIX",
        )
    return store
