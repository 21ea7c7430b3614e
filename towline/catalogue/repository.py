"""The catalogue as a repository: what exists, read and written as records, for CLI, API and activities.

The records lie in two tables (`table_client.py`). What they mean is in `model/`; a record's key is `kind/name`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from temporalio.client import Client

from towline import errors
from towline.catalogue.table_client import TableClient
from towline.catalogue.table_workflow import TableWorkflow
from towline.creator import whoami
from towline.model import names
from towline.model.catalogue.current_names import CurrentNames
from towline.model.catalogue.limits import described
from towline.model.catalogue.records import Batch, BatchAnswer, Change, Kind, Record, Refusal, Unchanged, kind_of
from towline.model.fleet.instance import InstanceRecord
from towline.model.group.config import PREDEFINED, DeploymentConfig
from towline.model.group.group import DeploymentGroup, application_id_in

T = TypeVar("T")


class CatalogueConflict(errors.Conflict):
    """Records are not as a write requires; `refused` says which, and what they are now.

    `written` are the versions of the records in the other table, whose changes were made all the same.
    """

    def __init__(self, refused: Sequence[Refusal], written: Mapping[str, int] | None = None) -> None:
        self.refused = tuple(refused)
        self.written = dict(written or {})
        shown = ", ".join(_tell(refusal) for refusal in self.refused[:5])
        more = f" and {len(self.refused) - 5} more" if len(self.refused) > 5 else ""
        super().__init__(
            f"changed by somebody else meanwhile: {shown}{more}", "Look again, and repeat what is still wanted."
        )


class CatalogueFull(errors.Conflict):
    """The catalogue holds as much as it can; `limit` is the scope (`application`, `group/shop`: see `limits.py`)."""

    def __init__(self, limit: str) -> None:
        self.limit = limit
        super().__init__(
            f"the catalogue is full: {described(limit)} is the most that it holds.",
            "Remove what is not used any more.",
        )


def _tell(refusal: Refusal) -> str:
    if refusal.current is None:
        return f"{refusal.key} (was removed)"
    return f"{refusal.key} (by {refusal.current.by or 'somebody'} at {refusal.current.at or 'an unknown time'})"


class Catalogue:
    """What exists: applications, groups, configurations, instances, settings. `by` is noted with each write.

    A process has one, so that its reads share one copy of the tables and its writes travel together.
    """

    def __init__(self, client: Client, *, task_queue: str = names.TASK_QUEUE, by: str = "") -> None:
        self._by = by or whoami()
        self._names: tuple[int, CurrentNames] | None = None  # with the table's version
        self._tables = {
            table: TableClient(TableWorkflow(client, table, task_queue)) for table in names.CATALOGUE_TABLES
        }

    # ── records ──

    async def read_all(self, *kinds: Kind) -> dict[str, Record]:
        """All records of these kinds by key, in order; raises `TemporalUnavailable`."""
        tables = await self._look_at(f"{kind}/" for kind in kinds)
        every = [tables[names.catalogue_table(f"{kind}/")].get(kind, {}) for kind in kinds]
        return dict(sorted(record for records in every for record in records.items()))

    async def read_at(self, *kinds: Kind) -> tuple[dict[str, Record], int]:
        """As `read_all`, with the table's version that was read, for `Unchanged`; the kinds lie in one table."""
        (table,) = {names.catalogue_table(f"{kind}/") for kind in kinds}
        return await self.read_all(*kinds), self._tables[table].version

    async def read(self, keys: Iterable[str]) -> dict[str, Record]:
        """The records of these keys that exist; raises `TemporalUnavailable`."""
        keys = list(keys)
        tables = await self._look_at(keys)
        found = ((key, tables[names.catalogue_table(key)].get(kind_of(key), {}).get(key)) for key in keys)
        return {key: record for key, record in found if record}

    async def _look_at(self, keys: Iterable[str]) -> dict[str, Mapping[str, Mapping[str, Record]]]:
        """The tables that these keys belong to, by their names: records by kind and key."""
        wanted = list({names.catalogue_table(key) for key in keys})
        found = await asyncio.gather(*(self._tables[table].records() for table in wanted))
        return dict(zip(wanted, found, strict=True))

    async def write(
        self,
        changes: Iterable[Change],
        *,
        exists: Iterable[str] = (),
        unchanged: Iterable[Unchanged] = (),
        batch_id: str = "",
        by: str = "",
    ) -> dict[str, int]:
        """Makes the changes and returns the new versions by key.

        What is in one table is made whole or not at all; the two are independent, so that after an error the changes
        to the other one may have been made. Writing again what already is does no harm.

        Args:
            changes: The records to write or remove, each once.
            exists: Keys of records that must exist.
            unchanged: What else must be as it was read.
            batch_id: The same for every attempt of one write; without it an attempt that creates a record which an
                earlier one created is refused.
            by: Who writes; the catalogue's own `by` where it is left out.

        Raises:
            CatalogueConflict: a record is not as it was read.
            CatalogueFull: there would be too many of a kind.
            TemporalUnavailable: Temporal or every worker is away.
        """
        every = Batch(
            changes=tuple(changes),
            exists=tuple(exists),
            unchanged=tuple(unchanged),
            by=by or self._by,
            id=batch_id or secrets.token_urlsafe(6),
        )
        batches = _by_table(every)
        answers = await asyncio.gather(*(self._tables[table].write(batch) for table, batch in batches.items()))
        written = {key: version for answer in answers for key, version in answer.versions.items()}
        _raise_refusals(answers, written)
        return written

    async def touch(self) -> None:
        """Has a worker load the tables, so that the reads that follow are fast; raises `TemporalUnavailable`."""
        await asyncio.gather(*(table.touch() for table in self._tables.values()))

    # ── what the records mean ──

    async def group(self, application: str, name: str) -> DeploymentGroup | None:
        """A deployment group, or None."""
        key = group_key(application, name)
        found = (await self.read([key])).get(key)
        return DeploymentGroup.model_validate(found.value) if found else None

    async def group_facts(self, application: str, name: str) -> tuple[DeploymentGroup, str] | None:
        """A deployment group and the id of its application, or None."""
        keys = group_key(application, name), f"application/{application}"
        group, of = map((await self.read(keys)).get, keys)
        return (DeploymentGroup.model_validate(group.value), application_id_in(of.value)) if group and of else None

    async def current_names(self) -> CurrentNames:
        """What applications and groups are called now."""
        table = self._tables[names.catalogue_table("group/")]
        records = await table.records()
        if self._names is None or self._names[0] != table.version:
            self._names = table.version, CurrentNames.of_records({**records["application"], **records["group"]})
        return self._names[1]

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


def _by_table(batch: Batch) -> dict[str, Batch]:
    """The part of a batch for each table that it changes."""
    changes: dict[str, list[Change]] = {}
    for change in batch.changes:
        changes.setdefault(names.catalogue_table(change.key), []).append(change)
    return {
        table: batch.model_copy(
            update={
                "changes": tuple(of_table),
                "exists": tuple(key for key in batch.exists if names.catalogue_table(key) == table),
                "unchanged": tuple(one for one in batch.unchanged if names.catalogue_table(one.prefix) == table),
            }
        )
        for table, of_table in changes.items()
    }


def _raise_refusals(answers: Sequence[BatchAnswer], written: Mapping[str, int]) -> None:
    refused = [refusal for answer in answers for refusal in answer.refused]
    if refused:
        raise CatalogueConflict(sorted(refused, key=lambda refusal: refusal.key), written)
    for answer in answers:
        if answer.full:
            raise CatalogueFull(answer.full)


def of_kind(records: Mapping[str, Record], kind: Kind, load: Callable[[Any], T]) -> dict[str, T]:
    """The records of one kind, as what they mean, by name."""
    prefix = f"{kind}/"
    return {key.removeprefix(prefix): load(found.value) for key, found in records.items() if key.startswith(prefix)}


def group_key(application: str, group: str) -> str:
    """The key of a deployment group's record."""
    return f"group/{application}/{group}"
