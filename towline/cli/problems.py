"""Problems of an AppSpec as lines for people: `file:line: severity: key: rule. hint`, as compilers write them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from towline.model.problem import Problem, Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def problem_line(file: str, problem: Problem, *, colour: bool) -> str:
    """One problem; editors and CI jump to `file:line`."""
    place = f"{file}:{problem.line}" if problem.line else file
    severity = click.style(problem.severity.value, fg=_COLOURS[problem.severity]) if colour else problem.severity.value
    key = f"{problem.key}: " if problem.key else ""
    hint = f". {problem.hint}" if problem.hint else ""
    return f"{place}: {severity}: {key}{problem.rule}{hint}"


def counted(problems: Sequence[Problem]) -> str:
    """`1 error, 2 warnings`.

    >>> counted([])
    'no problems'
    """
    parts = []
    for severity in (Severity.ERROR, Severity.WARNING):
        count = sum(problem.severity is severity for problem in problems)
        if count:
            parts.append(f"{count} {severity.value}{'s' if count > 1 else ''}")
    return ", ".join(parts) or "no problems"
