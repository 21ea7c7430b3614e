"""The record of a deployment: merges what its instances wrote into one report, as JSON and as a page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio import activity

from activities.errors import translated
from activities.snapshot import check_is_new
from towline.errors import NotFound
from towline.model.deployment.report import index_entry, index_key, merge
from towline.model.deployment.status import Outcome
from towline.model.messages import (
    DeploymentRecord,
    InstanceReport,
    ReportWritten,
    ShardOutcome,
    ShardWreck,
    instance_key,
    report_key,
)
from towline.model.rollout.outcomes import runs_now
from towline.model.rollout.window import FAILURES
from towline.store import Store

NAMED = 10
READERS = 32
"""How many records are read at once: S3 answers one in some 20 ms, and a fleet has thousands."""


class RecordActivities:
    """Writes reports into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn
    async def write_report(self, record: DeploymentRecord) -> ReportWritten:
        """Merges and writes the report; written again (after a rollback) it replaces the earlier one.

        Raises `OurFault` where the store cannot be used: it is tried again; `Conflict` where another deployment of this
        id is on record.
        """
        with translated():
            return await asyncio.to_thread(self.write, record)

    @activity.defn
    async def read_wreck(self, wreck: ShardWreck) -> ShardOutcome:
        """What instances' own records tell of a shard that could not tell itself: who has none counts as interrupted.

        Any of those may have been touched: a compensation asks them, and their journals know.
        """
        with translated():
            reports = await asyncio.to_thread(self._read, wreck.deployment_id, wreck.names)
        results: dict[Outcome, tuple[str, ...]] = {}
        for name in wreck.names:
            outcome = reports[name].outcome.outcome if name in reports else Outcome.INTERRUPTED
            results[outcome] = (*results.get(outcome, ()), name)
        touched = tuple(name for name in wreck.names if name not in reports or reports[name].outcome.was_touched)
        failures = tuple(report.outcome for report in reports.values() if report.outcome.outcome in FAILURES)
        return ShardOutcome(
            index=wreck.index,
            results=results,
            touched=touched,
            failures=failures[:NAMED],
            now=runs_now(r.outcome for r in reports.values()),
        )

    def write(self, record: DeploymentRecord) -> ReportWritten:
        """The same without Temporal."""
        from towline.report import render  # jinja2: only where a page is written

        deployment_id = record.info.deployment_id
        check_is_new(self._store, deployment_id, record.run_id)
        names = dict.fromkeys([*record.members, *(name for every in record.results.values() for name in every)])
        key = report_key(deployment_id)
        page = key.removesuffix(".json") + ".html"
        address = f"{self._store.address}/{page}"
        report = merge(record, self._read(deployment_id, names), address)
        self._store.put(key, _json(report.as_json()))
        self._store.put(page, render(report).encode())
        self._store.put(index_key(record.info.create_time, deployment_id), _json(index_entry(report.view).as_json()))
        return ReportWritten(key=key, address=address)

    def _read(self, deployment_id: str, names: Iterable[str]) -> dict[str, InstanceReport]:
        def read(name: str) -> tuple[str, InstanceReport | None]:
            try:
                data = self._store.get(instance_key(deployment_id, name))
                return name, InstanceReport.model_validate_json(data)
            except (NotFound, ValueError):  # never begun, or not written: the deployment's own count says how it ended
                return name, None

        with ThreadPoolExecutor(READERS, thread_name_prefix="records") as pool:
            return {name: found for name, found in pool.map(read, names) if found is not None}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
