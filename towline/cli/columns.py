"""Tables for people: columns as wide as they need, and fitted to a screen by what may be cut.

Names, ids and states are never cut where it can be avoided: a table whose names are missing says nothing.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from towline.model.visible import for_terminal

GAP = "  "
LEAST = 8
"""Cells that a column keeps at least while it is cut."""


def fitted(rows: Sequence[Sequence[str]], width: int | None, flexible: Sequence[int]) -> list[list[str]]:
    """The rows padded to columns; where they are wider than `width`, the flexible columns are cut, the first one first.

    Where that is not enough, they are left out, the first one first. So are columns that are empty in every row.
    `width` None: as wide as they need.

    >>> fitted([["web-01", "failed", "disk full"], ["web-02", "waiting", ""]], 24, [2])
    [['web-01', 'failed ', 'disk fu…'], ['web-02', 'waiting', '        ']]
    """
    rows = [[for_terminal(text) for text in row] for row in rows]
    needed = [max((cells(text) for text in column), default=0) for column in zip(*rows, strict=True)]
    widths = list(needed)
    for column in flexible:
        if over := _too_wide(widths, width):
            widths[column] = max(min(widths[column], LEAST), widths[column] - over)
    for column in flexible:
        if _too_wide(widths, width):
            widths[column] = 0
    kept = [column for column, wide in enumerate(widths) if wide]
    return [[_padded(row[column], widths[column]) for column in kept] for row in rows]


def _too_wide(widths: Sequence[int], width: int | None) -> int:
    """By how many cells columns of these widths are wider than the screen; 0 where they fit."""
    if width is None:
        return 0
    return max(0, sum(wide + len(GAP) for wide in widths if wide) - len(GAP) - width)


def cells(text: str) -> int:
    """How many cells a text takes on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells, with an ellipsis where something is missing.

    >>> cut("scripts/start.sh failed", 12)
    'scripts/sta…'
    """
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def width_of(stream: TextIO) -> int | None:
    """The columns of the terminal that a stream is; None where it is none, and nothing need be cut."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def height_of(stream: TextIO) -> int | None:
    """The lines of the terminal that a stream is; None where it is none."""
    return shutil.get_terminal_size().lines if stream.isatty() else None


def _padded(text: str, width: int) -> str:
    shown = cut(text, width)
    return shown + " " * (width - cells(shown))
