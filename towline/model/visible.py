"""Text that people gave us, as messages show it: what cannot be seen is written as an escape, what is long is cut."""

from __future__ import annotations

import re

LONGEST = 600
_LONGEST_QUOTED = 160


STEERING = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff"
"""Characters, for a class of `re`, that steer a terminal, turn the direction of writing, or hide; without tab and
line feed."""
_STEERING = re.compile(f"(\x1b\\[(?:[0-2]|3[0-7]|9[0-7])m)|[{STEERING}]")


def for_terminal(text: str) -> str:
    r"""The text as a terminal may have it: a file's name or a message must not control the terminal.

    What would is written as an escape. Line ends, tabs and the colours of our own output stay.

    >>> print(for_terminal("web\x1b]0;title\x07-01\u202e\r"), for_terminal("caf\u00e9"))
    web\x1b]0;title\x07-01\u202e\r café
    """
    return _STEERING.sub(lambda found: found[1] or repr(found[0])[1:-1], text)


def visible(text: str, most: int = LONGEST) -> str:
    r"""The text with an escape in place of each character that cannot be seen, or would move the others.

    >>> print(visible("a\u00a0b\x1b[31m\u202e\n"), visible("c:\\app"), visible("x" * 9, most=5))
    a\xa0b\x1b[31m\u202e\n c:\app xxxx…
    """
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in cut)


def quoted(text: str) -> str:
    r"""The text in quotes, to stand in a sentence; backslashes stay single.

    >>> print(quoted("c:\\app"), quoted("it's"), quoted("a\tb"))
    'c:\app' "it's" 'a\tb'
    """
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{visible(text, _LONGEST_QUOTED)}{quote}"
