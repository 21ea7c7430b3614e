"""The work of `towline report`."""

from __future__ import annotations

from pathlib import Path

from towline.cli.event_loop import with_client
from towline.cli.output import result, result_json
from towline.deployments.service import DeploymentService
from towline.errors import InvalidInput
from towline.model.deployment.report import DeploymentReport


def report(deployment: str, page: Path | None) -> None:
    """Prints the report as JSON, or writes it as a page. Raises `NotFound`, `InvalidInput` for a bad file."""

    async def read(service: DeploymentService) -> DeploymentReport:
        return await service.full_report(await service.find(deployment))

    found = with_client(read)
    if page is None:
        result_json(found.as_json())
        return
    from towline.report import render  # jinja2 is only needed for the page

    try:
        page.write_text(render(found), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{page} cannot be written: {error.strerror}.", "Name another file, or an existing folder."
        ) from error
    result(str(page))
