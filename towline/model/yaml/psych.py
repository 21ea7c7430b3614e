"""Parses YAML as the CodeDeploy agent does, into plain data with the line of every node.

The agent uses Psych 4: YAML 1.1 through libyaml, with Psych's rules for plain scalars (`1:30` is 5400, `:a` a symbol,
`yes` true); aliases, dates and Ruby objects are refused, the last of equal keys wins, and only the first document is
read. This module builds nodes from libyaml's events by those rules; `towline/model/appspec` checks them.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import yaml

from towline.model.problem import Problem, Severity
from towline.model.yaml.syntax_hints import syntax_problem

# libyaml if PyYAML has it, as in its wheels: PyYAML's own scanner refuses tabs that libyaml accepts.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 50

_WORD = re.compile(r"[^\d.:-]?[^\W\d]|[^\d.:-]?[\s!@#$%^&*(){}<>|/\\~;=]")
_TIME = re.compile(
    r"-?\d{4}-\d{1,2}-\d{1,2}(?:[Tt]|\s+)\d{1,2}:\d\d:\d\d(?:\.\d*)?(?:\s*(?:Z|[-+]\d{1,2}:?(?:\d\d)?))?", re.ASCII
)
_DATE = re.compile(r"\d{4}-(?:1[012]|0\d|\d)-(?:[12]\d|3[01]|0\d|\d)", re.ASCII)
_BASE_60 = re.compile(r"([-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2})(\.[0-9_]*)?")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][+-][0-9]+)?")
_INTEGERS = (
    (2, re.compile(r"[-+]?0b[_,]*[01][01_,]*")),
    (8, re.compile(r"[-+]?0[_,]*[0-7][0-7_,]*")),
    (10, re.compile(r"[-+]?(?:0|[1-9](?:[0-9]|,[0-9]|_[0-9])*)")),
    (16, re.compile(r"[-+]?0x[_,]*[0-9a-fA-F][0-9a-fA-F_,]*")),
)
_LONGEST_NUMBER = _MOST_PROBLEMS = 1000
_CONSTANTS = {"~": None, "null": None, "yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_STRING_TAGS = ("!", "!str", "tag:yaml.org,2002:str")
_REFUSED_TAGS = ("!ruby/", "!struct:", "!map:", "tag:yaml.org,2002:set", "tag:yaml.org,2002:omap", "tag:ruby.yaml.org")


@dataclass(frozen=True)
class Symbol:
    """A Ruby symbol, `:name`; no field of an AppSpec is one."""

    name: str


@dataclass(frozen=True)
class Date:
    """An unquoted date or time, at which the agent refuses the document."""

    text: str


@dataclass(frozen=True)
class Alias:
    """A `*name`, which the agent refuses; it is not resolved."""

    name: str


Value = str | int | float | bool | None | Symbol | Date | Alias


@dataclass(frozen=True)
class Scalar:
    """A value; `text` is as written, `plain` means without quotes."""

    line: int
    value: Value
    text: str
    plain: bool


@dataclass(frozen=True)
class Items:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Entries:
    """A map: its keys as text in the order written (the last of equal keys wins)."""

    line: int
    entries: dict[str, Node]
    key_lines: dict[str, int]

    def get(self, key: str) -> Node | None:
        """The node of a key, or None if it is absent or null."""
        node = self.entries.get(key)
        return None if isinstance(node, Scalar) and node.value is None else node


Node = Scalar | Items | Entries


@dataclass(frozen=True)
class PsychDocument:
    """A parsed document: `root` is None after a syntax error, or if the document is empty."""

    root: Node | None
    problems: tuple[Problem, ...]


def read_document(text: str) -> PsychDocument:
    """Parses the first document of a YAML text; never raises, errors are in `problems`."""
    builder = _Builder()
    try:
        # `parse` gives events one by one, so neither a deep nor a cyclic document can exhaust the stack.
        for event in yaml.parse(text, Loader=_LOADER):
            if not builder.take(event):
                break
    except (yaml.YAMLError, UnicodeError) as error:
        builder.problems.append(syntax_problem(error, text, builder.torn_quote))
        return PsychDocument(None, tuple(builder.problems))
    return PsychDocument(builder.root, tuple(builder.problems))


def plain_value(text: str) -> Value:
    """The value of a plain scalar by Psych's rules.

    >>> [plain_value(word) for word in ("0644", "1:30", "yes", "1e3", ".", "2024-01-31")]
    [420, 5400, True, '1e3', '.', Date(text='2024-01-31')]
    """
    if not text:
        return None
    if len(text) > _LONGEST_NUMBER:
        return text  # neither a number nor a date nor a value of any AppSpec field
    if _WORD.match(text) or "\n" in text:
        return _CONSTANTS.get(text.lower(), text) if len(text) <= 5 else text
    if _TIME.fullmatch(text) or _DATE.fullmatch(text):
        return Date(text)
    if re.fullmatch(r"[-+]?\.inf|\.nan", text, re.IGNORECASE):
        return {".nan": math.nan, "-.inf": -math.inf}.get(text.lower(), math.inf)
    if text[0] == ":" and len(text) > 1:
        return Symbol(text[1:].strip("\"'"))
    return _number(text)


def _number(text: str) -> Value:
    base_60 = _BASE_60.fullmatch(text)
    if base_60:
        return _from_base_60(base_60[1], base_60[2])
    if _FLOAT.fullmatch(text) and not re.fullmatch(r"[-+]?\.", text):
        return float(text.replace(",", "").replace("_", ""))
    for base, form in _INTEGERS:
        if form.fullmatch(text):
            return int(text.replace(",", "").replace("_", ""), base)
    return text


def _from_base_60(whole: str, fraction: str | None) -> int | float:
    """Psych weighs the parts from the left: `1:30` is 1 × 3600 + 30 × 60."""
    last = whole.split(":")
    total = sum(int(part) * 60 ** (2 - index) for index, part in enumerate(last))
    return float(total) if fraction is not None else total


class _Builder:
    """Makes nodes of parser events, with a stack of the collections that are open."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[tuple[int, bool, list[Node]]] = []
        self._has_root = False
        self._counts: Counter[Severity] = Counter()
        self.torn_quote = (0, 0)  # first and last line of the last multi-line quoted text

    def problem(self, line: int, rule: str, hint: str = "", key: str = "", *, warning: bool = False) -> None:
        severity = Severity.WARNING if warning else Severity.ERROR
        self._counts[severity] += 1
        if self._counts[severity] <= _MOST_PROBLEMS:
            self.problems.append(Problem(line=line, key=key, rule=rule, hint=hint, severity=severity))

    def take(self, event: yaml.Event) -> bool:
        """Processes one event; False if the agent ignores the rest of the text."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent) and self._has_root:
            self.problem(line, "everything from here on is ignored: only the first document is read", warning=True)
            return False
        if len(self._open) > _DEEPEST:
            # Deeper than any AppSpec, and libyaml is quadratic in the depth.
            self.problem(line, "nested too deeply", "Check the brackets")
            return False
        if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._check_tag(event.tag, line)
            self._open.append((line, isinstance(event, yaml.MappingStartEvent), []))
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            start, is_map, children = self._open.pop()
            self._add(self._entries(start, children) if is_map else Items(start, tuple(children)))
        elif isinstance(event, yaml.ScalarEvent):
            ends = event.end_mark.line + 1 if event.end_mark else line
            if event.style in ("'", '"') and ends > line:
                self.torn_quote = (line, ends)
            self._add(self._scalar(event, line))
        elif isinstance(event, yaml.AliasEvent):
            self.problem(line, f"alias *{event.anchor} is refused by the agent", "Write the value out")
            self._add(Scalar(line, Alias(str(event.anchor)), f"*{event.anchor}", True))
        return True

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1][2].append(node)
        elif not self._has_root:
            self.root, self._has_root = node, True

    def _entries(self, line: int, children: list[Node]) -> Entries:
        entries: dict[str, Node] = {}
        key_lines: dict[str, int] = {}
        for key_node, node in zip(children[::2], children[1::2], strict=True):
            if isinstance(key_node, Scalar) and key_node.text == "<<" and isinstance(node, Entries):
                entries.update(node.entries)
                key_lines.update(node.key_lines)
                continue
            key = key_text(key_node)
            if key in entries:
                rule = f"key given twice; the agent ignores the one in line {key_lines[key]}"
                self.problem(key_node.line, rule, "Join the two", key, warning=True)
            entries[key], key_lines[key] = node, key_node.line
        return Entries(line, entries, key_lines)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Scalar:
        self._check_tag(event.tag, line)
        text = str(event.value)
        is_plain = bool(event.implicit[0])
        if event.tag in _STRING_TAGS or (event.tag is None and not is_plain):
            return Scalar(line, text, text, False)
        if event.tag == "tag:yaml.org,2002:binary":
            return Scalar(line, _decoded(text), text, False)
        value = plain_value(text)
        if isinstance(value, Date):
            self.problem(line, f"the agent refuses an unquoted date ({text})", f'Write it in quotes: "{text}"')
            value = text
        return Scalar(line, value, text, is_plain)

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag and tag.startswith(_REFUSED_TAGS):
            self.problem(line, f"tag {tag} is refused by the agent", "Remove it")


def key_text(node: Node) -> str:
    """A key as text; a list or a map as key is named by its line, since no field has such a name."""
    return node.text if isinstance(node, Scalar) else f"(line {node.line})"


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
