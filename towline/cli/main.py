"""The console entry: runs a command, translates errors into one line and an exit status, ends the process."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

import towline
from towline.cli import output
from towline.cli.commands import cli
from towline.cli.streams import prepare
from towline.errors import Terminated, TowlineError, WithProblems, hint_of
from towline.model.deployment.exit_status import ExitStatus, status_of

SHOWING = ("status", "list", "logs", "report", "instances")
SOFTWARE_ERROR = 70
BROKEN_PIPE = 141


def main() -> NoReturn:
    """The console script. Ends the process itself, by `os._exit`.

    The interpreter aborts at exit once in a while (status 134) when Temporal's threads are still at work; the exit
    status of a command must not depend on that.
    """
    # Imports make half a million objects that stay: looking for garbage among them takes a tenth of a start. What runs
    # for long has it looked for again: `run_async`, and the worker.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it reads every installed package's metadata
    put_ours_first()
    out, _ = prepare()
    out.is_strict = shows_only(sys.argv[1:])
    status = run(sys.argv[1:])
    with contextlib.suppress(OSError):  # reported already
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
    """Runs one command line and returns its exit status; prints every error to stderr."""
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
        output.info("interrupted")
        return int(ExitStatus.LET_GO)
    except SystemExit as ended:  # the worker's own main, and click's completion
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Terminated:
        output.info("terminated")
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
            output.error(f"{_place(error)}: {error.strerror}.", hint_of(error.errno))
            return int(ExitStatus.FAILED_WHOLE)
        output.error(
            f"internal error: {type(error).__name__}: {error}", "" if debug else "Run it with --debug and report it."
        )
        return SOFTWARE_ERROR


def _show(error: TowlineError, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    problems = error.problems if isinstance(error, WithProblems) else ()
    for problem in problems:
        if str(problem) not in error.message:
            output.error(str(problem))
    output.error(error.message, error.hint)


def _place(error: OSError) -> str:
    return str(error.filename) if error.filename else "output"


if __name__ == "__main__":
    main()
