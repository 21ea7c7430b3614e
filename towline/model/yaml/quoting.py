"""Writes values as YAML for hints, so that the agent and towline read them as that text."""

from __future__ import annotations

import re

from towline.model.yaml.psych import plain_value

_SAFE = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~+@=-]*(?: [A-Za-z0-9_./~+@=-]+)*")


def yaml_text(text: str) -> str:
    r"""A text as a YAML scalar, quoted if necessary.

    >>> print(yaml_text("scripts/x.sh"), yaml_text("*.sh"), yaml_text("yes"), yaml_text("c:\\x"), yaml_text("a\tb"))
    scripts/x.sh "*.sh" "yes" 'c:\x' "a\tb"
    """
    if _SAFE.fullmatch(text) and plain_value(text) == text:
        return text
    if not text.isprintable():
        seen = (one if one.isprintable() else _escape(one) for one in text.replace("\\", "\\\\").replace('"', '\\"'))
        return '"' + "".join(seen) + '"'
    if "\\" in text or '"' in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def _escape(letter: str) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}.get(letter)
    number = ord(letter)
    digits = f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    return short or (digits if number < 65536 else f"\\U{number:08x}")
