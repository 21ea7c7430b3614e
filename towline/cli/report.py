"""`towline report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("deployment", metavar="ID")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file.")
def command(deployment: str, page: Path | None) -> None:
    """Prints a deployment's report as JSON, or writes it as one self-contained page.

    Reports outlive Temporal's memory. Of a deployment that is still open, the report is how it stands now.
    """
    from towline.cli.door import Door, talk
    from towline.cli.output import result, result_json

    async def read(door: Door) -> dict[str, Any]:
        return await door.document(await door.find(deployment))

    document = talk(read)
    if page is None:
        result_json(document)
        return
    from towline.errors import InvalidInput
    from towline.report import render

    try:
        page.write_text(render(document), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{page} cannot be written: {error.strerror}.", "Name another file, or an existing folder."
        ) from error
    result(str(page))
