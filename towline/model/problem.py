"""A problem in a document that a person wrote: where it is, which rule it breaks, how to mend it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, field_validator

from towline.model.visible import visible

MOST_PROBLEMS = 100
_LONGEST_WORD, _MOST_WORDS = 200, 1000  # comparing takes their product


class Severity(StrEnum):
    """An error stops; a warning is something that CodeDeploy lets pass and people were hurt by."""

    ERROR = "error"
    WARNING = "warning"


class Problem(BaseModel):
    """One finding. `line` counts from 1, 0: no line; `key` is a path such as `hooks.AfterInstall[0].timeout`.

    What cannot be seen in a text, or is endless, is made visible and short here, for every reader.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    line: int
    key: str
    rule: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    @field_validator("key", "rule", "hint")
    @classmethod
    def _make_visible(cls, text: str) -> str:
        return visible(text)

    def __str__(self) -> str:
        """`line 12, hooks.AfterInstal: no such event. Did you mean AfterInstall?`"""
        place = ", ".join(part for part in (f"line {self.line}" if self.line else "", self.key) if part)
        text = f"{place}: {self.rule}" if place else self.rule
        return f"{text}. {self.hint}" if self.hint else text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean AfterInstall?`, or nothing where no known name is similar.

    >>> did_you_mean("AfterInstal", ["BeforeInstall", "AfterInstall"])
    'Did you mean AfterInstall?'
    >>> did_you_mean("AllAtOnce", ["CodeDeployDefault.AllAtOnce"])
    'Did you mean CodeDeployDefault.AllAtOnce?'
    >>> did_you_mean("prod", ["production", "staging"])
    'Did you mean production?'
    >>> did_you_mean("zebra", ["BeforeInstall"])
    ''
    """
    if len(word) > _LONGEST_WORD:
        return ""
    import difflib  # 5 ms, for mistakes only

    by_folded = {name.casefold(): name for name in itertools.islice(known, _MOST_WORDS)}
    near = difflib.get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=0.6)
    near = near or [name for name in by_folded if name.endswith(f".{word.casefold()}")]
    near = near or _begun(word.casefold(), by_folded)
    return f"Did you mean {by_folded[near[0]]}?" if near else ""


def _begun(word: str, known: Iterable[str]) -> list[str]:
    """The one that begins with this, where no second one does."""
    begun = [name for name in known if name.startswith(word)]
    return begun if len(begun) == 1 and len(word) > 2 else []


def is_broken(problems: Iterable[Problem]) -> bool:
    """Whether one of them is an error."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def bounded(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The first hundred problems by line, errors before warnings where there are more, and how many were left out."""
    ordered = sorted(problems, key=lambda problem: problem.line)
    if len(ordered) <= MOST_PROBLEMS:
        return tuple(ordered)
    kept = sorted(ordered, key=lambda problem: problem.severity is Severity.WARNING)[:MOST_PROBLEMS]
    rule = f"{len(ordered) - len(kept)} more problems are not shown"
    hint, severity = "Fix these first", Severity.ERROR if is_broken(kept) else Severity.WARNING
    return (
        *sorted(kept, key=lambda problem: problem.line),
        Problem(line=0, key="", rule=rule, hint=hint, severity=severity),
    )


def made_strict(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The same problems, each an error: what `--strict` asks for."""
    return tuple(problem.model_copy(update={"severity": Severity.ERROR}) for problem in problems)
