"""Text that people gave us, as messages show it: what cannot be seen is written as an escape, what is long is cut."""

from __future__ import annotations

LONGEST = 600
_LONGEST_QUOTED = 160


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
