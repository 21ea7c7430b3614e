"""`towline up`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where data is kept.")
@click.option("--ip", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Temporal's port; default 7233, or a free one.")
@click.option("--ui-port", type=click.IntRange(1, 65535), help="The Web UI's port; default 8233, or a free one.")
def command(data_dir: Path | None, ip: str, port: int | None, ui_port: int | None) -> int:
    """Runs Temporal's dev server and a worker in the foreground, until Ctrl-C or SIGTERM; keeps its data.

    Meant for one machine. Nothing listens beyond it unless --ip says so: Temporal's dev server asks nobody for a
    password.
    """
    import asyncio

    from towline.cli.dev_stack import stand_up

    return asyncio.run(stand_up(data_dir and data_dir.absolute(), ip, port, ui_port))
