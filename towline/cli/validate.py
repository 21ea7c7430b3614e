"""`towline validate PATH`: what is wrong with an AppSpec and its bundle, before anybody deploys it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from towline.cli.inspect import Findings, inspect
from towline.cli.output import has_colour, result, result_json, say
from towline.cli.problems import counted, problem_line
from towline.model.deployment.exit_status import ExitStatus
from towline.model.problem import is_broken


@click.command("validate")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Make errors of warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def command(path: Path, strict: bool, as_json: bool) -> int:
    """Checks an AppSpec: PATH is a directory, an archive (.tar, .tgz, .zip) or an AppSpec file.

    Of a directory or archive the files and scripts that the AppSpec names are checked, too. Exit status 2 if there
    are errors, 0 if there are only warnings or nothing.
    """
    findings = inspect(path, strict=strict)
    if as_json:
        result_json(_as_json(findings))
    else:
        _show(findings)
    return int(ExitStatus.BAD_INPUT if is_broken(findings.problems) else ExitStatus.SUCCEEDED)


def _show(findings: Findings) -> None:
    for problem in findings.problems:
        result(problem_line(findings.file, problem, colour=has_colour(sys.stdout)))
    scope = "" if findings.listing else " (the AppSpec alone; name its directory to check files and scripts, too)"
    say(f"{findings.file}: {counted(findings.problems)}{scope}")


def _as_json(findings: Findings) -> dict[str, object]:
    return {
        "file": findings.file,
        "valid": not is_broken(findings.problems),
        "problems": [problem.model_dump(mode="json") for problem in findings.problems],
        "events": list(findings.plan.hooks) if findings.plan else [],
    }
