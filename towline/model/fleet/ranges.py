"""Ranges in instance names, `web-[001:120]`, and the `{name}` placeholder in their settings."""

from __future__ import annotations

import itertools
import re
from typing import TypeVar

LIMIT = 100_000
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS = re.compile(r"(\d+):(\d+)(?::(\d+))?")
_LETTERS = re.compile(r"([a-z]):([a-z])|([A-Z]):([A-Z])")

T = TypeVar("T")


def expand(pattern: str) -> list[str]:
    """Expands a pattern to its names, both ends included; raises ValueError with the rule.

    Numbers are zero-padded to the width of the first one; a third number is the step. Letters work, too.

    >>> expand("web-[008:010]")
    ['web-008', 'web-009', 'web-010']
    >>> expand("web-[1:5:2]-[a:b]")
    ['web-1-a', 'web-1-b', 'web-3-a', 'web-3-b', 'web-5-a', 'web-5-b']
    >>> expand("web-200")
    ['web-200']
    """
    parts = _RANGE.split(pattern)
    if any("[" in text or "]" in text for text in parts[::2]):
        raise ValueError(f"{pattern!r}: a range is written [FIRST:LAST], such as web-[001:120]")
    choices = [_values(text) if index % 2 else [text] for index, text in enumerate(parts)]
    count = 1
    for values in choices:
        count *= len(values)
    if count > LIMIT:
        raise ValueError(f"{pattern!r} expands to {count} names; at most {LIMIT} are allowed")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def is_range(pattern: str) -> bool:
    """Whether a name is a pattern."""
    return "[" in pattern


def _values(text: str) -> list[str]:
    numbers = _NUMBERS.fullmatch(text)
    if numbers:
        first, last, step = int(numbers[1]), int(numbers[2]), int(numbers[3] or 1)
        if first > last or step == 0 or (last - first) // step >= LIMIT:
            raise ValueError(
                f"[{text}] goes from the lower to the higher number, by at least 1, at most {LIMIT} of them"
            )
        return [str(number).zfill(len(numbers[1])) for number in range(first, last + 1, step)]
    letters = _LETTERS.fullmatch(text)
    if letters:
        first_letter, last_letter = (ord(letter) for letter in letters.groups() if letter)
        if first_letter <= last_letter:
            return [chr(code) for code in range(first_letter, last_letter + 1)]
    raise ValueError(f"[{text}]: a range is written [FIRST:LAST] or [FIRST:LAST:STEP], such as [001:120] or [a:f]")


def with_name(value: T, name: str) -> T:
    """A plain JSON value with `{name}` replaced in every string.

    >>> with_name({"host": "{name}.example.com", "port": 22}, "web-1")
    {'host': 'web-1.example.com', 'port': 22}
    """
    if isinstance(value, str):
        return value.replace("{name}", name)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {key: with_name(item, name) for key, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return type(value)(with_name(item, name) for item in value)
    return value
