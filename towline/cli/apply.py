"""`towline apply`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="apply")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A towline.yaml; may be given several times. `-` reads standard input.",
)
@click.argument("more", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Change it without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--prune", is_flag=True, help="Also remove what the same owner applied before and no longer declares.")
def command(files: tuple[Path, ...], more: tuple[Path, ...], yes: bool, dry_run: bool, prune: bool) -> int:
    """Declares applications, deployment groups, configurations and instances.

    Shows what would be added, changed and removed, and which instances each group gains and loses; then asks, and
    changes it. What is absent from the files is left as it is, except with --prune.
    """
    from towline.cli.applying import Apply, run

    return run(Apply(files=(*files, *more), yes=yes, dry_run=dry_run, prune=prune))
