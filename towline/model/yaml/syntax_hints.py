"""Locates YAML syntax errors where they were made: the parser notices many of them some lines further down.

Looks for slips of hand-written files: an open quote, a missing space, wrong indentation, invisible characters. If none
is near, the parser's own message and line are kept.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from towline.model.deployment.lifecycle import HOOK_EVENTS
from towline.model.problem import Problem
from towline.model.visible import quoted

# Characters that YAML allows and libyaml accepts.
_REFUSED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ODD_BLANKS = "\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff"
_ODD_BLANK = re.compile(f"^(?: |-)*[{_ODD_BLANKS}]|[:-][{_ODD_BLANKS}]|[{_ODD_BLANKS}](?=[-:])")
_KEYS = (
    "version|os|files|source|destination|permissions|object|pattern|except|owner|group|mode|acls|context|type|hooks|"
    "location|timeout|runas|file_exists_behavior"
)
_NO_BLANK_AFTER_DASH = re.compile(rf"^ *-(?=(?:{_KEYS}) *:)")
_NO_BLANK_AFTER_COLON = re.compile(rf"^[ -]*((?:{_KEYS}):)(?=[^\s:])")
_TEMPLATE = re.compile(r"^[^#]*?:\s+(\{\{|\{%|<%|\{\$|%)")
_KEY = re.compile(r"^[ -]*([^\s#:'\"-][^:#]*?) *:(?: |$)")
_FAMILIES: tuple[tuple[str, ...], ...] = (
    HOOK_EVENTS,
    ("version", "os", "files", "permissions", "hooks", "file_exists_behavior"),
)
_OWNERS = {"source": "files", "object": "permissions", "location": "AfterInstall"}
_ITEM = re.compile(rf"^( *)- ({'|'.join(_OWNERS)}):")
_DASHED_EVENT = re.compile(rf"^ *- ({'|'.join(HOOK_EVENTS)}):\s*(?:#.*)?$")
_BEFORE = 3  # lines above the parser's line to search


class _Slip(NamedTuple):
    line: int
    rule: str
    hint: str


def syntax_problem(error: Exception, text: str, torn_quote: tuple[int, int] = (0, 0)) -> Problem:
    """The problem for a syntax error. `torn_quote`: the lines of the last multi-line quoted text."""
    if not isinstance(error, yaml.MarkedYAMLError):
        slip = _refused_character(text) or _Slip(0, " ".join(str(error).split()), "Save it as plain UTF-8 text")
    else:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        lines = text.split("\n")
        slip = (
            _open_quote(error, line, torn_quote)
            or _odd_blank(lines, line)
            or _near(lines, line)
            or _orphan(lines, line)
            or _indentation(error, lines)
            or _no_colon(error, lines)
            or _Slip(line, _reason(error), _hint(error, lines, line))
        )
    return Problem(line=slip.line, key="", rule=f"not YAML: {slip.rule}", hint=slip.hint)


def _refused_character(text: str) -> _Slip | None:
    found = _REFUSED.search(text)
    if not found:
        return None
    rule = f"the character {repr(found[0])[1:-1]} is not allowed in YAML"
    return _Slip(text.count("\n", 0, found.start()) + 1, rule, "Take it out; an editor shows it as a mark or a box")


def _open_quote(error: yaml.MarkedYAMLError, line: int, torn_quote: tuple[int, int]) -> _Slip | None:
    begins = 0
    if error.context and "quoted scalar" in error.context and "end of stream" in (error.problem or ""):
        begins = error.context_mark.line + 1 if error.context_mark else line
    elif torn_quote[0] and torn_quote[1] in (line - 1, line):
        begins = torn_quote[0]
    return _Slip(begins, "a quote is opened here and not closed in this line", "Close the quote") if begins else None


def _odd_blank(lines: list[str], line: int) -> _Slip | None:
    """A character above that only looks like a space, in indentation or a key."""
    for at in range(min(line, len(lines)), 0, -1):
        if odd := _ODD_BLANK.search(lines[at - 1]):
            letter = next(one for one in odd[0] if one not in " :-")
            what = "a non-breaking space" if letter == "\u00a0" else "a space that YAML does not accept"
            rule = f"{what} ({repr(letter)[1:-1]}) is in this line"
            return _Slip(at, rule, "Put an ordinary space in its place")
    return None


def _orphan(lines: list[str], line: int) -> _Slip | None:
    """A list without its key: directly below `hooks`, or below a key that already has a value."""
    for at in range(min(line, len(lines)), 0, -1):
        item = _ITEM.match(lines[at - 1])
        if event := _DASHED_EVENT.match(lines[at - 1]):
            return _Slip(at, f"an event takes no '- ': {event[1]}", "Take the '- ' away")
        above = _key_above(lines, at - 1, len(item[1])) if item else None
        if not item or not above:
            continue
        key, value = above
        if value or (item[2] == "location" and key == "hooks"):
            rule = f"'- {item[2]}' is not below its {'event' if item[2] == 'location' else 'section'}"
            return _Slip(at, rule, f"Write '{_OWNERS[item[2]]}:' in the line above")
    return None


def _key_above(lines: list[str], at: int, depth: int) -> tuple[str, str] | None:
    """The nearest key above that is not deeper than an item, with its value; None if another item is nearer."""
    for line in range(at - 1, -1, -1):
        written = lines[line].rstrip()
        inner = len(written) - len(written.lstrip())
        if not written or written.lstrip().startswith("#") or inner > depth:
            continue
        key = _KEY.match(written)
        return (key[1], written[key.end() :].strip()) if key and not written.lstrip().startswith("-") else None
    return None


def _near(lines: list[str], line: int) -> _Slip | None:
    """A slip visible in the text itself: in the parser's line or the few above it."""
    at, seen = min(line, len(lines)), 0
    while at > 0 and seen <= _BEFORE:
        written = lines[at - 1]
        if slip := _in_line(at, written):
            return slip
        seen += bool(written.strip()) and not written.lstrip().startswith("#")
        at -= 1
    return None


def _in_line(at: int, written: str) -> _Slip | None:
    if _NO_BLANK_AFTER_DASH.match(written):
        mended = quoted(written.strip().replace("-", "- ", 1))
        hint = f"Write {mended}, with the entry's other keys in the column of the first"
        return _Slip(at, "a space is missing after the '-'", hint)
    if key := _NO_BLANK_AFTER_COLON.match(written):
        mended = written.strip().replace(key[1], key[1] + " ", 1)
        return _Slip(at, f"a space is missing after {quoted(key[1])}", f"Write {quoted(mended)}")
    if template := _TEMPLATE.match(written):
        rule = f"this looks like a template, {template[1]} …, that was not filled in"
        return _Slip(at, rule, "Write what it stands for, or fill it in before the bundle is made")
    if re.match(r"(<{7}|={7}|>{7})( |$)", written):
        return _Slip(at, "a merge conflict of git was left in the file", "Keep one of the two sides")
    if written.startswith("```"):
        return _Slip(at, "``` is Markdown, not YAML", "Take such lines out")
    return None


def _no_colon(error: yaml.MarkedYAMLError, lines: list[str]) -> _Slip | None:
    """A line without `key: value`, which the parser notices at the next key."""
    if error.problem != "could not find expected ':'" or not error.context_mark:
        return None
    at = error.context_mark.line
    written = lines[at].strip().removeprefix("- ") if at < len(lines) else ""
    key, _, value = written.partition(" ")
    mended = f"{key.rstrip(':')}: {value}".rstrip()
    return _Slip(at + 1, f"{quoted(written)} is no key with a value", f"Write {quoted(mended)}, if that is meant")


def _indentation(error: yaml.MarkedYAMLError, lines: list[str]) -> _Slip | None:
    """`AfterInstall (line 18) is indented less than BeforeInstall (line 14)`."""
    mark = error.problem_mark
    if not mark or error.problem not in (
        "did not find expected key",
        "did not find expected '-' indicator",
        "mapping values are not allowed in this context",
    ):
        return None
    at = mark.line
    key = _KEY.match(lines[at]) if at < len(lines) else None
    if not key or "\t" in lines[at][: key.start(1)]:
        return None
    depth, dashed = key.start(1), "-" in lines[at][: key.start(1)]
    above = _alike(lines, at, key[1]) or _neighbour(lines, at, depth)
    if not above:
        return None
    line, name, other = above
    if other == depth:
        return None
    how = "less" if depth < other else "more"
    what = f"'- {key[1]}'" if dashed else key[1]
    rule = f"{what} (line {at + 1}) is indented {how} than {name} (line {line + 1})"
    return _Slip(at + 1, rule, f"Let {key[1]} begin in the same column as {name}")


def _alike(lines: list[str], at: int, name: str) -> tuple[int, str, int] | None:
    """The nearest key above of the same kind: an event for an event, a section for a section."""
    family = next((family for family in _FAMILIES if name in family), ())
    for line in range(at - 1, -1, -1):
        key = _KEY.match(lines[line])
        if key and key[1] in family:
            return line, key[1], key.start(1)
    return None


def _neighbour(lines: list[str], at: int, depth: int) -> tuple[int, str, int] | None:
    """Line, name and depth of the key above with the most similar depth, which was probably meant to be equal."""
    found: tuple[int, str, int] | None = None
    least = 1000
    for line in range(at - 1, max(at - 200, -1), -1):
        key = _KEY.match(lines[line])
        if not key or key.start(1) >= least:
            continue
        least = key.start(1)
        if found is None or abs(least - depth) < abs(found[2] - depth):
            found = line, key[1], least
        if least <= depth:
            break
    return found


def _reason(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.problem, error.context) if part)


def _hint(error: yaml.MarkedYAMLError, lines: list[str], line: int) -> str:
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return "Indent with spaces, not with tabs"
    if star := re.search(r"(?::|-)\s+(\*[^\s#]*)", written):
        return f'Put it in quotes: "{star[1]}"'
    if letter := re.search(r"(?::|-)\s+([@`%&!|>][^#]*)", written):
        return f"Put it in quotes: {_in_quotes(letter[1].strip())}"
    if error.problem and "escape character" in error.problem:
        return "Use single quotes, in which '\\' means nothing"
    if error.context and "flow" in error.context:
        opened = error.context_mark.line + 1 if error.context_mark else line
        return f"Close the bracket that is opened in line {opened}"
    if error.problem and "mapping values" in error.problem:
        return "Put a value that has ': ' in it in quotes, and check the indentation"
    return "Check indentation and quotes"


def _in_quotes(value: Any) -> str:
    return f'"{value}"' if '"' not in value and "\\" not in value else f"'{value}'"
