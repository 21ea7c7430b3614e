"""The console entry: finds the command, translates errors into one line and an exit status, ends the process.

Commands are imported only when they are asked for: `towline --help` must not pay for Temporal, boto3 or rich.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

import towline
from towline.cli.output import complain, say
from towline.cli.streams import prepare
from towline.errors import Terminated, TowlineError, WithProblems, hint_of
from towline.model.deployment.exit_status import ExitStatus, status_of

COMMANDS = {
    "up": ("towline.cli.up", "Temporal's dev server and a worker, in the foreground."),
    "worker": ("towline.cli.worker", "A worker, for the Temporal that the environment names."),
    "api": ("towline.cli.api", "CodeDeploy's API, for the AWS CLI and SDKs."),
    "validate": ("towline.cli.validate", "Checks an AppSpec, a directory or an archive."),
    "push": ("towline.cli.push", "Bundles a directory, and uploads it or writes it to a file."),
    "apply": ("towline.cli.apply", "Declares applications, groups and instances from towline.yaml."),
    "deploy": ("towline.cli.deploy", "Rolls a revision out over a group, and shows how it goes."),
    "status": ("towline.cli.status", "How a deployment stands, and why."),
    "list": ("towline.cli.list", "Deployments, the newest first."),
    "pause": ("towline.cli.pause", "Starts nothing new; what is in flight finishes."),
    "resume": ("towline.cli.resume", "Goes on after a pause."),
    "release": ("towline.cli.release", "Lets a group's queue go on that a rollback has held."),
    "stop": ("towline.cli.stop", "Ends a deployment, with or without a rollback."),
    "rollback": ("towline.cli.rollback", "Takes a deployment back: each host to what it ran before."),
    "logs": ("towline.cli.logs", "What the scripts of a deployment wrote."),
    "report": ("towline.cli.report", "A deployment's report: JSON, or a page."),
    "instances": ("towline.cli.instances", "What runs where."),
}
"""Each command: the module whose `command` it is, and its line in the help, so that help imports none of them."""

SHOWING = ("status", "list", "logs", "report", "instances")
ENDING = ("stop", "rollback", "release")
SOFTWARE_ERROR = 70
BROKEN_PIPE = 141


class Commands(click.Group):
    """The group of all commands; a module is imported when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a "did you mean" for a misspelt command."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from towline.model.problem import did_you_mean

            # A word that only looks alike must not lead to what ends or undoes a rollout: `top` is not `stop`.
            known = [name for name in COMMANDS if name not in ENDING or name[0] == args[0][0]]
            hint = did_you_mean(args[0], known) or "See: towline --help"
            ctx.fail(f"no such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from `COMMANDS`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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


def main() -> NoReturn:
    """The console script. Ends the process itself, by `os._exit`.

    The interpreter aborts at exit once in a while (status 134) when Temporal's threads are still at work; the exit
    status of a command must not depend on that.
    """
    # Imports make half a million objects that stay: looking for garbage among them takes a tenth of a start. What runs
    # for long has it looked for again: `talk`, and the worker.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it reads every installed package's metadata
    put_ours_first()
    out, _ = prepare()
    out.is_strict = shows_only(sys.argv[1:])
    status = run(sys.argv[1:])
    with contextlib.suppress(OSError):  # told already
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def shows_only(words: Sequence[str]) -> bool:
    """Whether output is all that a command is for: then its loss is a failure. Else its status tells of its work.

    >>> shows_only(["list", "--json"]), shows_only(["deploy", "--help"]), shows_only([])
    (True, True, True)
    >>> shows_only(["deploy", "shop", "web"]), shows_only(["status", "d-1", "--watch"])
    (False, False)
    """
    if {"-h", "--help", "--version"} & set(words):
        return True
    command = next((word for word in words if not word.startswith("-")), "")
    return "--watch" not in words and command in ("", *SHOWING)


def put_ours_first() -> None:
    """Makes `workflows`, `activities` and `worker` our own, even in a folder that has others of these names."""
    sys.path.insert(0, str(Path(towline.__file__).resolve().parent.parent))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit status; every error is told on stderr here."""
    debug = "--debug" in arguments or bool(os.environ.get("TOWLINE_DEBUG"))
    try:
        # --debug is taken wherever it stands: people add it at the end of the line that failed.
        words = [word for word in arguments if word != "--debug"]
        if "_TOWLINE_COMPLETE" in os.environ:
            cli.main(words, "towline", complete_var="_TOWLINE_COMPLETE")
        # Not `cli.main`: it turns a closed pipe into exit status 1, which means something here.
        with cli.make_context("towline", words) as context:
            answer = cli.invoke(context)
        return int(answer) if isinstance(answer, int) else 0
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return int(ExitStatus.LET_GO)
    except SystemExit as ended:  # the worker's own main, and click's completion
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Terminated:
        say("terminated")
        return int(ExitStatus.TERMINATED)
    except BrokenPipeError:  # the reader of our output is gone (`towline list | head`)
        return BROKEN_PIPE
    except TowlineError as error:
        _show(error, debug)
        return int(status_of(error))
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.strerror:
            complain(f"{_place(error)}: {error.strerror}.", hint_of(error.errno))
            return int(ExitStatus.FAILED_WHOLE)
        complain(
            f"internal error: {type(error).__name__}: {error}", "" if debug else "Run it with --debug and report it."
        )
        return SOFTWARE_ERROR


def _show(error: TowlineError, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    problems = error.problems if isinstance(error, WithProblems) else ()
    for problem in problems:
        if str(problem) not in error.message:
            complain(str(problem))
    complain(error.message, error.hint)


def _place(error: OSError) -> str:
    return str(error.filename) if error.filename else "output"


if __name__ == "__main__":
    main()
