"""`towline instances`."""

from __future__ import annotations

import click


@click.command(name="instances")
@click.argument("group", required=False, default="", metavar="[APP/GROUP]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(group: str, as_json: bool) -> None:
    """Shows what runs where: each group's instances, their last outcome, revision and deployment.

    Without a group, those of all groups; APP alone means all groups of an application. EC2 instances are shown once
    they were deployed to, since only a worker can ask AWS for the others.
    """
    from towline.cli.instance_table import show

    show(group, as_json=as_json)
