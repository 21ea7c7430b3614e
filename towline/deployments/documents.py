"""A deployment with all its instances as `--json` and reports show it, from wherever each is known best."""

from __future__ import annotations

import asyncio
from typing import Any

from towline.deployments.instance_status import Live
from towline.deployments.records import Records
from towline.model.deployment.status import Outcome, TargetStatus
from towline.model.deployment.view import ended_target, live_target, plain_target


async def targets_of(
    records: Records | None, deployment_id: str, live: dict[str, Live]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return CodeDeploy's targets of the live instances, and what CodeDeploy's shape has no member for, by name."""
    ended = [name for name, one in live.items() if one.outcome is not None]
    written = await asyncio.to_thread(records.instances, deployment_id, ended) if records and ended else {}
    targets, extras = [], {}
    for name, one in live.items():
        if name in written:
            targets.append(ended_target(deployment_id, written[name]))
        elif one.status is TargetStatus.IN_PROGRESS:
            targets.append(live_target(deployment_id, name, one.heartbeat))
        else:
            targets.append(plain_target(deployment_id, name, one.status.value, one.end_time))
        extras[name] = _extra(one)
    return targets, extras


def live_of_report(report: dict[str, Any]) -> dict[str, Live]:
    """The instances of a report, as far as a table shows them."""
    extras = report["progress"].get("instances", {})
    found = {}
    for one in report["deploymentTargets"]:
        target = one["instanceTarget"]
        extra = extras.get(target["targetId"], {})
        found[target["targetId"]] = Live(
            name=target["targetId"],
            status=TargetStatus(target["status"]),
            outcome=Outcome(extra["outcome"]) if extra.get("outcome") else None,
            start_time=extra.get("startTime", ""),
            end_time=extra.get("endTime", ""),
            message=extra.get("message", ""),
        )
    return found


def _extra(one: Live) -> dict[str, Any]:
    beat = one.heartbeat
    extra = {
        "outcome": one.outcome.value if one.outcome else "",
        "startTime": one.start_time,
        "endTime": one.end_time,
        "message": one.message,
        "phase": beat.phase if beat else "",
        "script": beat.script if beat else "",
        "note": beat.note if beat else "",
    }
    return {key: value for key, value in extra.items() if value}
