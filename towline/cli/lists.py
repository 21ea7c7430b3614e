"""The list of deployments: Temporal's, and below them what only the store remembers."""

from __future__ import annotations

import asyncio
import sys
from itertools import islice

from towline.cli import render
from towline.cli.columns import width_of
from towline.cli.door import Door
from towline.deployments.listing import Listed
from towline.deployments.records import Records
from towline.model.deployment.describe import printable
from towline.model.deployment.status import ErrorCode

REFUSED = (ErrorCode.APPLICATION_MISSING, ErrorCode.DEPLOYMENT_GROUP_MISSING, ErrorCode.INVALID_REQUEST)
"""Ends of requests that named no group of ours, or nothing that can be read."""
HEADERS = ("DEPLOYMENT", "APPLICATION/GROUP", "STATUS", "STARTED", "TOOK", "REVISION", "BY")
FLEXIBLE = (5, 6)
"""The columns that may be cut: revision and who asked."""


async def find(
    door: Door, application: str, group: str, status: str, limit: int, *, with_refused: bool = False
) -> list[Listed]:
    """The deployments that match, the newest first, at most `limit`; `with_refused`: also those that named no group."""
    known = await door.deployments.list(
        application=application, group=group, status=status, limit=limit, with_refused=with_refused
    )
    records = await door.records_if_any()
    told = []
    if records:
        told = await asyncio.to_thread(_remembered, records, application, group, status, limit, with_refused)
    ids = {one.deployment_id for one in known}
    every = known + [one for one in told if one.deployment_id not in ids]
    return sorted(every, key=lambda one: one.start_time, reverse=True)[:limit]


def lines(found: list[Listed]) -> list[str]:
    """A table."""
    rows = [
        (
            one.deployment_id,
            f"{one.application}/{one.group}" if one.application else "",
            one.status,
            render.day_and_clock(one.start_time),
            render.duration(render.elapsed(one.start_time, one.close_time)) if one.close_time else "",
            one.subject,
            printable(one.requested_by),
        )
        for one in found
    ]
    return render.table(rows, HEADERS, width_of(sys.stdout), FLEXIBLE)


def _remembered(
    records: Records, application: str, group: str, status: str, limit: int, with_refused: bool
) -> list[Listed]:
    found = (
        Listed(
            deployment_id=line["deploymentId"],
            application=line["applicationName"],
            group=line["deploymentGroupName"],
            status=line["status"],
            revision=line["revision"],
            rollback_of=line.get("rollbackOf", ""),
            start_time=line["createTime"],
            close_time=line["completeTime"],
            requested_by=line.get("requestedBy", ""),
        )
        for line in records.index()
        if application in ("", line["applicationName"])
        and group in ("", line["deploymentGroupName"])
        and status in ("", line["status"])
        and (with_refused or line.get("errorCode") not in REFUSED)
    )
    return list(islice(found, limit))
