"""The glob of permissions against a reference that is plain and slow."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from towline.host.runner.glob import glob_matches


def reference(name: str, pattern: str) -> bool:
    """The same by a regular expression, which tries every way."""
    parts = (".*" if letter == "*" else re.escape(letter) for letter in pattern)
    return "/" not in name and re.fullmatch("".join(parts), name, re.DOTALL) is not None


def words(letters: str, longest: int) -> Iterator[str]:
    for length in range(longest + 1):
        yield from map("".join, itertools.product(letters, repeat=length))


def test_every_short_pattern_matches_what_the_reference_matches() -> None:
    names = list(words("ab", 5))
    wrong = [(name, p) for p in words("ab*", 5) for name in names if glob_matches(name, p) is not reference(name, p)]
    assert not wrong


@given(st.text("ab.?*[/\n", max_size=9), st.text("ab.?*[/\n", max_size=6))
def test_nothing_but_the_star_is_special(name: str, pattern: str) -> None:
    assert glob_matches(name, pattern) is reference(name, pattern)
    assert glob_matches(name, name) is ("/" not in name)
