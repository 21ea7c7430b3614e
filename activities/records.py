"""The record of a deployment: merges what its instances wrote into one report, as JSON and as a page."""

from __future__ import annotations

import asyncio

from temporalio import activity

from activities.errors import translated
from towline.model.deployment.report import merge
from towline.model.deployment.status import Outcome
from towline.model.messages.shard import ShardOutcome, ShardWreck
from towline.model.messages.view import DeploymentRecord, ReportWritten
from towline.model.rollout.outcomes import runs_now
from towline.model.rollout.window import FAILURES
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords

NAMED = 10


class RecordActivities:
    """Writes reports into the store."""

    def __init__(self, store: Store) -> None:
        self._records = DeploymentRecords(store)

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
        """Reads instances' records for a terminated shard; an instance without one counts as interrupted.

        Any of those may have been touched: a rollback asks them, and their journals know.
        """
        with translated():
            reports = await asyncio.to_thread(self._records.instances, wreck.deployment_id, wreck.names)
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
        self._records.check_is_new(deployment_id, record.run_id)
        names = dict.fromkeys([*record.members, *(name for every in record.results.values() for name in every)])
        instances = self._records.instances(deployment_id, names)
        report = merge(record, instances, self._records.page_address(deployment_id))
        return self._records.put_report(report, render(report))
