"""`towline rollback`."""

from __future__ import annotations

import click


@click.command()
@click.argument("deployment", metavar="ID")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would happen, and touch nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Print the new deployment's id and leave.")
@click.option("--json", "as_json", is_flag=True, help="End with the rollback in CodeDeploy's shapes.")
def command(deployment: str, only_plan: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Takes an ended deployment back: each instance that it touched to the revision that it ran before.

    The rollback is a deployment of its own. The exit status is that of `towline deploy`.
    """
    from towline.cli.rolling_back import roll_back

    return roll_back(deployment, only_plan=only_plan, yes=yes, detach=detach, as_json=as_json)
