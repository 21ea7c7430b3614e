"""A deployment with all its instances as `--json` and reports show it, from wherever each is known best."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from towline.deployments.instance_status import Live, refined
from towline.model.deployment.report import DeploymentReport
from towline.model.deployment.status import TargetStatus
from towline.model.deployment.target import InstanceTarget, TargetDetails, ended_target, live_target, plain_target
from towline.model.messages.instance import InstanceReport
from towline.model.messages.view import DeploymentView
from towline.store.deployment_records import DeploymentRecords


async def report_of_live(
    records: DeploymentRecords | None, view: DeploymentView, live: dict[str, Live]
) -> DeploymentReport:
    """Return the report of a deployment that may go on: of instances that have ended their record tells most."""
    deployment_id = view.info.deployment_id
    ended = [name for name, one in live.items() if one.outcome is not None]
    written = await asyncio.to_thread(records.instances, deployment_id, ended) if records and ended else {}
    return DeploymentReport(
        view=refined(view, live),
        targets=tuple(_target(deployment_id, one, written) for one in live.values()),
        details={name: _details(one) for name, one in live.items()},
    )


def live_of_report(report: DeploymentReport) -> dict[str, Live]:
    """The instances of a report, as far as a table shows them."""
    return {target.target_id: _live(target, report.details_of(target)) for target in report.targets}


def _target(deployment_id: str, one: Live, written: Mapping[str, InstanceReport]) -> InstanceTarget:
    if one.name in written:
        return ended_target(deployment_id, written[one.name])
    if one.status is TargetStatus.IN_PROGRESS:
        return live_target(deployment_id, one.name, one.heartbeat)
    return plain_target(deployment_id, one.name, one.status, one.end_time)


def _details(one: Live) -> TargetDetails:
    beat = one.heartbeat
    return TargetDetails(
        outcome=one.outcome,
        start_time=one.start_time,
        end_time=one.end_time,
        message=one.message,
        phase=beat.phase if beat else "",
        script=beat.script if beat else "",
        note=beat.note if beat else "",
    )


def _live(target: InstanceTarget, details: TargetDetails) -> Live:
    return Live(
        name=target.target_id,
        status=target.status,
        outcome=details.outcome,
        start_time=details.start_time,
        end_time=details.end_time,
        message=details.message,
    )
