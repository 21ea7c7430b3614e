"""The work of `towline validate`: what is wrong with an AppSpec and its bundle."""

from __future__ import annotations

import sys
from pathlib import Path

from towline.cli.bundle_check import CheckedBundle, check_bundle
from towline.cli.output import has_colour, info, result, result_json
from towline.cli.problems import counted, problem_line
from towline.model.deployment.exit_status import ExitStatus
from towline.model.problem import is_broken


def validate(path: Path, *, strict: bool, as_json: bool) -> int:
    """Prints the problems; returns the exit status: 2 where one is an error. Raises NotFound, InvalidBundle."""
    findings = check_bundle(path, strict=strict)
    if as_json:
        result_json(_as_json(findings))
    else:
        _show(findings)
    return int(ExitStatus.BAD_INPUT if is_broken(findings.problems) else ExitStatus.SUCCEEDED)


def _show(findings: CheckedBundle) -> None:
    for problem in findings.problems:
        result(problem_line(findings.file, problem, colour=has_colour(sys.stdout)))
    scope = "" if findings.listing else " (the AppSpec alone; name its directory to check files and scripts, too)"
    info(f"{findings.file}: {counted(findings.problems)}{scope}")


def _as_json(findings: CheckedBundle) -> dict[str, object]:
    return {
        "file": findings.file,
        "valid": not is_broken(findings.problems),
        "problems": [problem.model_dump(mode="json") for problem in findings.problems],
        "events": list(findings.plan.hooks) if findings.plan else [],
    }
