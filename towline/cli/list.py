"""The work of `towline list`."""

from __future__ import annotations

import sys

from towline.cli import render
from towline.cli.columns import width_of
from towline.cli.event_loop import with_client
from towline.cli.output import info, result, result_json
from towline.model.deployment.describe import printable
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment

HEADERS = ("DEPLOYMENT", "APPLICATION/GROUP", "STATUS", "STARTED", "TOOK", "REVISION", "BY")
FLEXIBLE = (6, 5)
"""The columns that may be cut, or left out: who asked, and the revision."""


def list_deployments(
    *, application: str, group: str, status: str | None, limit: int, with_refused: bool, as_json: bool
) -> None:
    """Prints the deployments that match, the newest first."""
    wanted = DeploymentFilter(application, group, (status,) if status else (), with_refused=with_refused)
    found = with_client(lambda service: service.list_deployments(wanted, limit))
    if as_json:
        result_json([one.as_json() for one in found])
    elif found:
        result("\n".join(lines(found)))
    else:
        info("No deployments match. Start one with: towline deploy APP GROUP --revision …")


def lines(found: list[ListedDeployment]) -> list[str]:
    """A table."""
    rows = [
        (
            one.deployment_id,
            f"{one.application}/{one.group}" if one.application else "",
            one.status,
            render.day_and_clock(one.start_time)[: len("2025-01-01 14:03")],
            render.duration(render.elapsed(one.start_time, one.close_time)) if one.close_time else "",
            one.subject,
            printable(one.requested_by),
        )
        for one in found
    ]
    return render.table(rows, HEADERS, width_of(sys.stdout), FLEXIBLE)
