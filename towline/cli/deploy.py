"""`towline deploy`."""

from __future__ import annotations

import click

from towline.cli.options import BUNDLE_TYPE, FILE_EXISTS_BEHAVIOR
from towline.model.bundle.revision import BundleType


@click.command()
@click.argument("application", metavar="APP")
@click.argument("group")
@click.option(
    "--revision",
    required=True,
    help="s3://BUCKET/KEY[?versionId=…], github://OWNER/REPO@SHA, a PATH, or what the group had before: the id of a "
    "deployment, a digest or a label.",
)
@click.option("--bundle-type", type=BUNDLE_TYPE, help="The kind of archive; default: what its content or ending tells.")
@click.option("--config", help="The deployment configuration; default: the group's.")
@click.option("--id", "deployment_id", help="The deployment's id; the same words again attach to it.")
@click.option("--description", default="", help="For people; at most 256 characters.")
@click.option(
    "--if-busy",
    type=click.Choice(["wait", "fail", "supersede"]),
    default="wait",
    show_default=True,
    help="When the group is being deployed to: wait in order, fail, or take the place of those that wait.",
)
@click.option("--strict", is_flag=True, help="Refuse a revision whose AppSpec has warnings.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would happen, and touch nothing.")
@click.option("--detach", is_flag=True, help="Print the id and leave.")
@click.option("--json", "as_json", is_flag=True, help="End with the deployment in CodeDeploy's shapes.")
@click.option("--ignore-application-stop-failures", is_flag=True, help="Go on where ApplicationStop fails.")
@click.option(
    "--file-exists-behavior",
    type=FILE_EXISTS_BEHAVIOR,
    help="What to do with a file that is there already and was not installed by towline.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to go on watching while no worker, or no Temporal, answers.",
)
def command(
    application: str,
    group: str,
    revision: str,
    bundle_type: BundleType | None,
    config: str | None,
    deployment_id: str | None,
    description: str,
    if_busy: str,
    strict: bool,
    only_plan: bool,
    detach: bool,
    as_json: bool,
    ignore_application_stop_failures: bool,
    file_exists_behavior: str | None,
    patience: float,
) -> int:
    """Rolls a revision out over a deployment group, and shows how it goes.

    Exit status: 0 succeeded; 1 failed, and every touched host is back; 3 stopped; 4 ended, and hosts need a person
    (owed, or no rollback was asked for); 5 lost sight of Temporal, the rollout may go on; 2 bad usage or input; 130
    let go by Ctrl-C, 143 by SIGTERM: the rollout goes on.
    """
    from towline.cli.deploying import Wish, deploy

    words = {
        "application_name": application,
        "deployment_group_name": group,
        "deployment_config_name": config,
        "description": description,
        "if_busy": if_busy,
        "strict": strict,
        "ignore_application_stop_failures": ignore_application_stop_failures,
        "file_exists_behavior": file_exists_behavior,
    }
    wish = Wish(
        words,
        revision,
        deployment_id,
        only_plan=only_plan,
        detach=detach,
        as_json=as_json,
        patience=patience,
        bundle_type=bundle_type,
    )
    return deploy(wish)
