"""The command line: every command with its arguments, options and help. The work of each is in the module of its name.

A command imports what it needs when it runs: `towline --help` must not pay for Temporal, boto3, pydantic or rich.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import towline
from towline.cli.command_group import CommandGroup
from towline.cli.options import BUNDLE_TYPE, FILE, FILE_EXISTS_BEHAVIOR, IF_BUSY, PATIENCE_SECONDS, STATUS

DEPLOYMENT = click.argument("deployment", metavar="ID")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
ONLY_PLAN = click.option("--plan", "only_plan", is_flag=True, help="Show what would happen, and touch nothing.")


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(towline.__version__, prog_name="towline")
@click.option("--debug", is_flag=True, help="Show traces of errors.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Rolls application revisions out over your own hosts, as AWS CodeDeploy does.

    A deployment is a Temporal workflow: start a local Temporal and a worker with `towline up`. Wherever a command
    takes an ID: a deployment id, a unique beginning of one, or APP/GROUP for its active, else its newest one that
    touched an instance.
    """
    ctx.obj = {"debug": debug}


# ── servers and workers ──────────────────────────────────────────────────────────────────────────────────────────────


@cli.command(short_help="Temporal's dev server and a worker, in the foreground.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where data is kept.")
@click.option("--ip", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Temporal's port; default 7233, or a free one.")
@click.option("--ui-port", type=click.IntRange(1, 65535), help="The Web UI's port; default 8233, or a free one.")
@click.option(
    "--api-port", type=click.IntRange(0, 65535), help="Also serve CodeDeploy's API, on this port of loopback."
)
def up(data_dir: Path | None, ip: str, port: int | None, ui_port: int | None, api_port: int | None) -> int:
    """Runs Temporal's dev server and a worker in the foreground, until Ctrl-C or SIGTERM; keeps its data.

    Meant for one machine. Nothing listens beyond it unless --ip says so: Temporal's dev server asks for no
    password.
    """
    import asyncio

    from towline.cli.dev_stack import stand_up

    return asyncio.run(stand_up(data_dir and data_dir.absolute(), ip, port, ui_port, api_port))


@cli.command(short_help="A worker, for the Temporal that the environment names.")
def worker() -> int:
    """Runs a worker until SIGTERM or Ctrl-C; then it drains, and leaves hooks running on the hosts.

    Temporal by its standard environment variables and profile file (TEMPORAL_ADDRESS, TEMPORAL_PROFILE, …), the store
    by TOWLINE_STORE. The same as `python worker.py`.
    """
    import importlib

    return int(importlib.import_module("worker").main())


@cli.command(short_help="CodeDeploy's API, for the AWS CLI and SDKs.")
@click.option("--ip", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8014, show_default=True, help="The port; 0: a free one.")
@click.option("--access-keys", type=FILE, help="Access keys, in the form of ~/.aws/credentials.")
@click.option("--policy", type=FILE, help="Who may do what: names and IAM policy documents, JSON or YAML.")
@click.option("--no-auth", is_flag=True, help="Asks for no signature; on loopback only.")
@click.option("--tls-cert", type=FILE, help="The certificate chain, PEM.")
@click.option("--tls-key", type=FILE, help="Its private key, PEM.")
@click.option(
    "--rate", type=click.IntRange(min=0), default=500, show_default=True, help="Requests a second and key; 0: any."
)
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), help="Serve Prometheus metrics on this port of loopback."
)
@click.option("--host-keys", type=FILE, help="What the access keys of hosts with AWS's agent are derived from.")
@click.option("--advertise", default="", metavar="URL", help="Where other API servers reach this one.")
def api(**options: Any) -> int:
    """Serves CodeDeploy's API, for the AWS CLI and SDKs: set AWS_ENDPOINT_URL_CODEDEPLOY to its address."""
    from towline.cli.api import serve

    return serve(**options)


# ── before a deployment ──────────────────────────────────────────────────────────────────────────────────────────────


@cli.command(short_help="Checks an AppSpec, a directory or an archive.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Make errors of warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def validate(path: Path, strict: bool, as_json: bool) -> int:
    """Checks an AppSpec: PATH is a directory, an archive (.tar, .tgz, .zip) or an AppSpec file.

    Of a directory or archive the files and scripts that the AppSpec names are checked, too. Exit status 2 if there
    are errors, 0 if there are only warnings or nothing.
    """
    from towline.cli.validate import validate as run

    return run(path, strict=strict, as_json=as_json)


@cli.command(short_help="Bundles a directory, and uploads it or writes it to a file.")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target")
@click.option("--bundle-type", type=BUNDLE_TYPE, help="The kind of archive to make; default: what the ending tells.")
@click.option("--strict", is_flag=True, help="Make errors of warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def push(**options: Any) -> None:
    """Bundles DIRECTORY and uploads it to s3://BUCKET/KEY, or writes it to a file; the ending tells the type.

    The same content and permissions always give the same bytes: times and owners do not count. `.git` is left out.
    """
    from towline.cli.push import push as run

    run(**options)


@cli.command(short_help="Declares applications, groups and instances from towline.yaml.")
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
def apply(files: tuple[Path, ...], more: tuple[Path, ...], yes: bool, dry_run: bool, prune: bool) -> int:
    """Declares applications, deployment groups, configurations and instances.

    Shows what would be added, changed and removed, and which instances each group gains and loses; then asks, and
    changes it. What is absent from the files is left as it is, except with --prune.
    """
    from towline.cli.apply import ApplyOptions
    from towline.cli.apply import apply as run

    return run(ApplyOptions(files=(*files, *more), yes=yes, dry_run=dry_run, prune=prune))


@cli.command(short_help="Prints what exists as a towline.yaml.")
def export() -> None:
    """Prints the catalogue as a towline.yaml: applied, it changes nothing."""
    from towline.cli.export import export as run

    run()


@cli.command("import-from-aws", short_help="Prints what an AWS account has in CodeDeploy as a towline.yaml.")
@click.option("--region", help="The AWS region; default: the environment's.")
def import_from_aws(region: str | None) -> None:
    """Reads CodeDeploy's applications, groups, configurations and instances, and prints them as a towline.yaml.

    AWS's credentials are taken from the environment; nothing is changed there.
    """
    from towline.cli.export import import_from_aws as run

    run(region)


# ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────────────


@cli.command(short_help="Rolls a revision out over a group, and shows how it goes.")
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
@click.option("--id", "deployment_id", help="The deployment's id; the same command again attaches to it.")
@click.option("--description", default="", help="For people; at most 256 characters.")
@click.option(
    "--if-busy",
    type=IF_BUSY,
    default="wait",
    show_default=True,
    help="When the group is being deployed to: wait in order, fail, or take the place of those that wait.",
)
@click.option("--strict", is_flag=True, help="Refuse a revision whose AppSpec has warnings.")
@ONLY_PLAN
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
    default=PATIENCE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to go on watching while no worker, or no Temporal, answers.",
)
def deploy(**options: Any) -> int:
    """Rolls a revision out over a deployment group, and shows how it goes.

    Exit status: 0 succeeded; 1 failed, and every touched host is back; 3 stopped; 4 ended, and hosts need a person
    (not restored, or no rollback was asked for); 5 lost sight of Temporal, the rollout may go on; 2 bad usage or
    input; 130 detached by Ctrl-C, 143 by SIGTERM: the rollout goes on.
    """
    from towline.cli.deploy import DeployOptions
    from towline.cli.deploy import deploy as run

    return run(DeployOptions(**options))


@cli.command(short_help="How a deployment stands, and why.")
@DEPLOYMENT
@click.option("--watch", is_flag=True, help="Go on showing until it has ended; the exit status tells how.")
@click.option("--json", "as_json", is_flag=True, help="CodeDeploy's shapes as JSON.")
def status(deployment: str, watch: bool, as_json: bool) -> int:
    """Shows how a deployment stands, instance by instance, and why it is where it is.

    With --watch the exit status is: 0 succeeded; 1 failed, and every touched host is back; 3 stopped; 4 ended, and
    hosts need a person; 5 lost sight of Temporal; 130 let go by Ctrl-C, 143 by SIGTERM.
    """
    from towline.cli.status import status as run

    return run(deployment, is_watched=watch, as_json=as_json)


@cli.command("list", short_help="Deployments, the newest first.")
@click.option("--app", "application", default="", help="Only this application's.")
@click.option("--group", default="", help="Only this deployment group's.")
@click.option("--status", type=STATUS, help="Only those of this status.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--all", "with_refused", is_flag=True, help="Also requests that failed since they named no group.")
@AS_JSON
def list_deployments(**options: Any) -> None:
    """Lists deployments, the newest first: those that Temporal knows, and those that only the reports remember."""
    from towline.cli.list import list_deployments as run

    run(**options)


@cli.command(short_help="Starts nothing new; what is in flight finishes.")
@DEPLOYMENT
def pause(deployment: str) -> int:
    """Starts nothing new; what is in flight finishes. Go on with `towline resume`."""
    from towline.cli.control import pause as run

    return run(deployment)


@cli.command(short_help="Goes on after a pause.")
@DEPLOYMENT
def resume(deployment: str) -> int:
    """Goes on after a pause. A queue that an incomplete rollback holds goes on by `towline release`."""
    from towline.cli.control import resume as run

    return run(deployment)


@cli.command(short_help="Lets a group's queue go on that a rollback has held.")
@click.argument("group", metavar="APP/GROUP")
def release(group: str) -> int:
    """Lets the queue of a deployment group go on that was held.

    A rollback that leaves hosts behind holds its group's queue: no further deployment begins, until a person has seen
    to the hosts and says so by this command. Whoever may use the other commands may use it.
    """
    from towline.cli.control import release as run

    return run(group)


@cli.command(short_help="Ends a deployment, with or without a rollback.")
@DEPLOYMENT
@click.option("--now", is_flag=True, help="End running hooks too (TERM, then KILL); their instances are interrupted.")
@click.option(
    "--rollback/--no-rollback",
    default=None,
    help="Take the touched instances back, or leave them; default: as the group says of a stop.",
)
@click.option("--reason", default="", help="Why, for the record.")
def stop(deployment: str, now: bool, rollback: bool | None, reason: str) -> int:
    """Ends a deployment: nothing new starts, instances in flight halt at the next lifecycle event."""
    from towline.cli.control import stop as run
    from towline.model.messages.deploy import StopRequest

    return run(deployment, StopRequest(now=now, rollback=rollback, reason=reason))


@cli.command(short_help="Takes a deployment back: each host to what it ran before.")
@DEPLOYMENT
@ONLY_PLAN
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Print the new deployment's id and leave.")
@click.option("--json", "as_json", is_flag=True, help="End with the rollback in CodeDeploy's shapes.")
def rollback(deployment: str, only_plan: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Takes an ended deployment back: each instance that it touched to the revision that it ran before.

    The rollback is a deployment of its own. The exit status is that of `towline deploy`.
    """
    from towline.cli.rollback import rollback as run

    return run(deployment, only_plan=only_plan, yes=yes, detach=detach, as_json=as_json)


# ── what was done ────────────────────────────────────────────────────────────────────────────────────────────────────


@cli.command(short_help="What the scripts of a deployment wrote.")
@DEPLOYMENT
@click.argument("instance", required=False)
@click.option("--failed", is_flag=True, help="Only instances that did not succeed.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended.")
def logs(deployment: str, instance: str | None, failed: bool, follow: bool) -> None:
    """Prints what the scripts of a deployment wrote, instance by instance.

    Of instances that have ended from the store, of those at work from the hosts themselves. With several instances
    each line begins with its instance's name.
    """
    from towline.cli.logs import logs as run

    run(deployment, instance, failed=failed, follow=follow)


@cli.command(short_help="A deployment's report: JSON, or a page.")
@DEPLOYMENT
@click.option("--html", "page", type=FILE, help="Write the page to this file.")
def report(deployment: str, page: Path | None) -> None:
    """Prints a deployment's report as JSON, or writes it as one self-contained page.

    Reports outlive Temporal's memory. Of a deployment that is still open, the report is how it stands now.
    """
    from towline.cli.report import report as run

    run(deployment, page)


@cli.command(short_help="What runs where.")
@click.argument("group", required=False, default="", metavar="[APP/GROUP]")
@AS_JSON
def instances(group: str, as_json: bool) -> None:
    """Shows what runs where: each group's instances, their last outcome, revision and deployment.

    Without a group, those of all groups; APP alone means all groups of an application. EC2 instances are shown once
    they were deployed to, since only a worker can ask AWS for the others.
    """
    from towline.cli.instances import instances as run

    run(group, as_json=as_json)


# ── hosts that poll ──────────────────────────────────────────────────────────────────────────────────────────────────


@cli.group(cls=CommandGroup, short_help="Hosts that poll: invite them, list them, take their keys.")
def agent() -> None:
    """Hosts that poll with towline's agent, because nobody can reach them by SSH (docs/agents.md)."""


@agent.command("invite", short_help="Prints what to run on hosts, so that they can be deployed to.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--endpoint", required=True, help="The API server as the hosts reach it, https://…")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its authority, PEM.")
@click.option("--script", "as_script", is_flag=True, help="Print one script for `sh -s` that holds all it needs.")
@click.option("--hours", type=click.FloatRange(0.01, 24 * 30), default=24, show_default=True, help="Until it expires.")
@click.option("--codedeploy", is_flag=True, help="For hosts with AWS's agent: print its settings.")
@click.option("--host-keys", type=FILE, help="With --codedeploy: the key file of `towline api`.")
def invite_agents(codedeploy: bool, host_keys: Path | None, **options: Any) -> None:
    """Makes invitations for instances, and prints the command that installs towline's agent on each host.

    An invitation works once, and is traded for the public half of a key that is made on the host. A new one replaces
    the one before it; a host's key stays valid until its invitation is used.

    With --codedeploy it prints what AWS's agent needs: an access key of the host's own and two endpoints.
    """
    if codedeploy:
        from towline.cli.agent_codedeploy import invite as invite_codedeploy

        return invite_codedeploy(options["names"], options["endpoint"], host_keys)

    from towline.cli.agent import invite

    return invite(**options)


@agent.command("list", short_help="The agents, and when each polled last.")
@AS_JSON
def list_agents(as_json: bool) -> None:
    """Lists the agents that were enrolled: their keys, when each polled last, its version, how far its clock is off."""
    from towline.cli.agent import list_agents as run

    run(as_json=as_json)


@agent.command("revoke", short_help="Takes a host's key.")
@click.argument("name")
def revoke_agent(name: str) -> None:
    """Takes a host's key: its agent is refused, and nothing is deployed to it until it is invited again."""
    from towline.cli.agent import revoke

    revoke(name)
