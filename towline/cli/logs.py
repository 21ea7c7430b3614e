"""`towline logs`."""

from __future__ import annotations

import click


@click.command()
@click.argument("deployment", metavar="ID")
@click.argument("instance", required=False)
@click.option("--failed", is_flag=True, help="Only instances that did not succeed.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended.")
def command(deployment: str, instance: str | None, failed: bool, follow: bool) -> None:
    """Prints what the scripts of a deployment wrote, instance by instance.

    Of instances that have ended from the store, of those at work from the hosts themselves. With several instances
    each line begins with its instance's name.
    """
    from towline.cli.door import talk
    from towline.cli.log_reading import print_logs

    talk(lambda door: print_logs(door, deployment, instance, failed=failed, follow=follow))
