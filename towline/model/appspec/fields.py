"""Readers for the fields of an AppSpec: a node of the document, its place, and the problems found in it.

Used by `parser.py` (document), `files.py`, `hooks.py` and `permissions.py`; it knows types of
values, not sections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from towline.model.problem import Problem, Severity, did_you_mean
from towline.model.visible import quoted
from towline.model.yaml.psych import Alias, Entries, Items, Node, Scalar, Symbol
from towline.model.yaml.quoting import yaml_text

_BLANKS = " \t\n\v\f\r\0"  # the characters that Ruby's strip removes
_MOST_UNKNOWN_KEYS = 20
_MOST_FINDINGS = 1000


@dataclass
class Findings:
    """The problems of one document, the line of each key that was read, and the sections that could not be read.

    `is_deployed`: AWS's agent has deployed the revision, so what only towline refuses is a warning.
    """

    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # entry of the plan -> entry of the file, if different
    unread: set[str] = field(default_factory=set)  # sections with entries that are not in the plan
    is_deployed: bool = False
    _counts: Counter[Severity] = field(default_factory=Counter)

    def add(self, place: Place, rule: str, hint: str, severity: Severity) -> None:
        """Adds a problem, up to a thousand of each severity."""
        self._counts[severity] += 1
        if self._counts[severity] <= _MOST_FINDINGS:
            self.problems.append(Problem(line=place.line, key=place.key, rule=rule, hint=hint, severity=severity))


@dataclass(frozen=True)
class Place:
    """A node of the document, with the path to it: `hooks.AfterInstall[0].timeout`."""

    node: Node | None
    key: str
    line: int
    found: Findings

    def error(self, rule: str, hint: str = "") -> None:
        """Adds an error: what the agent refuses, or what cannot work."""
        self.found.add(self, rule, hint, Severity.ERROR)

    def warn(self, rule: str, hint: str = "") -> None:
        """Adds a warning: what the agent accepts and users have been hurt by."""
        self.found.add(self, rule, hint, Severity.WARNING)

    def refuse(self, rule: str, hint: str = "") -> None:
        """Adds what the agent accepts and towline refuses, since it would fail on every host."""
        (self.warn if self.found.is_deployed else self.error)(rule, hint)

    @property
    def name(self) -> str:
        """The last part of the key: `timeout`."""
        return self.key.rpartition(".")[2]

    @property
    def is_unset(self) -> bool:
        """Whether it is absent or null; Ruby's `||` counts false as unset, too."""
        return self.node is None or (
            isinstance(self.node, Scalar) and (self.node.value is None or self.node.value is False)
        )

    @property
    def is_alias(self) -> bool:
        """Whether the node is an alias, which has been reported already."""
        return isinstance(self.node, Scalar) and isinstance(self.node.value, Alias)

    def at(self, name: str) -> Place:
        """The place of a key below; its node is None if the key is absent or null."""
        assert isinstance(self.node, Entries)
        line = self.node.key_lines.get(name, self.line)
        place = replace(self, node=self.node.get(name), key=f"{self.key}.{name}" if self.key else name, line=line)
        if name in self.node.entries:
            self.found.lines[place.key] = line
        return place

    def items(self) -> list[Place]:
        """The places of a list's items; none for an empty map, which Ruby iterates just as well."""
        if not isinstance(self.node, Items):
            return []
        places = [
            replace(self, node=node, key=f"{self.key}[{index}]", line=node.line)
            for index, node in enumerate(self.node.items)
        ]
        self.found.lines.update({place.key: place.line for place in places})
        return places

    def check_keys(
        self, known: Collection[str], hints: Mapping[str, str] | None = None, reported: Collection[str] = ()
    ) -> None:
        """Warns of each key that the agent ignores, except those already reported."""
        assert isinstance(self.node, Entries)
        unknown = [name for name in self.node.key_lines if name not in known and name not in reported and name != "<<"]
        for name in unknown[:_MOST_UNKNOWN_KEYS]:
            plain = name.strip("\\ \t\u00a0\u200b\ufeff")
            hint = (hints or {}).get(plain) or did_you_mean(plain, known)
            if plain in known and plain != name:
                hint = f"Write '{plain}:', without the characters around it"
            key = f"{self.key}.{name}" if self.key else name
            replace(self, key=key, line=self.node.key_lines[name]).warn("unknown key, ignored by the agent", hint)
        if len(unknown) > _MOST_UNKNOWN_KEYS:
            line = self.node.key_lines[unknown[_MOST_UNKNOWN_KEYS]]
            replace(self, line=line).warn(f"{len(unknown) - _MOST_UNKNOWN_KEYS} more unknown keys, from here on")


@dataclass(frozen=True)
class Kind:
    """The kind of entries in a list: maps with `required` keys (the first names the entry) out of `known` ones."""

    required: tuple[str, ...]
    known: tuple[str, ...]
    hints: Mapping[str, str] = field(default_factory=dict)  # hint for an unknown key
    meant: Mapping[str, str] = field(default_factory=dict)  # unknown key -> the key that people mean by it

    def meant_by(self, entry: Entries, name: str) -> str:
        """The unknown key of an entry that was probably meant as the missing `name`; empty if there is none."""
        unknown = [key for key in list(entry.entries)[:_MOST_UNKNOWN_KEYS] if key not in self.known]
        near = f"Did you mean {name}?"
        return next(
            (key for key in unknown if self.meant.get(key.casefold()) == name or did_you_mean(key, (name,)) == near), ""
        )


def read_entries(section: Place, kind: Kind) -> list[Place]:
    """The maps of a list; keys split off into an entry of their own are merged into the entry above."""
    if not _is_list_of_maps(section, kind):
        section.found.unread.add(section.key)
        return []
    places: list[Place] = []
    apart: list[Place] = []
    for item in section.items():
        if not _is_map(item, kind):
            section.found.unread.add(section.key)
        elif places and (joined := _joined(places[-1], item, kind)):
            places[-1] = joined
            apart.append(item)
        else:
            places.append(item)
    _tell_apart(apart)
    return places


def _joined(above: Place, item: Place, kind: Kind) -> Place | None:
    """The entry above merged with an item that is incomplete on its own; None if the item may be an entry."""
    assert isinstance(above.node, Entries) and isinstance(item.node, Entries)
    keys = item.node.entries.keys()
    both = above.node.entries.keys() | keys
    is_whole = all(name in keys for name in kind.required)
    if is_whole or not keys or not keys <= set(kind.known) or keys & above.node.entries.keys():
        return None
    if not all(name in both for name in kind.required):
        return None
    entries = {**above.node.entries, **item.node.entries}
    return replace(above, node=Entries(above.node.line, entries, {**above.node.key_lines, **item.node.key_lines}))


def _tell_apart(apart: Sequence[Place]) -> None:
    if not apart:
        return
    first, *others = apart
    assert isinstance(first.node, Entries)
    lines = ", ".join(str(place.line) for place in others[:20])
    more = f", as in line{'s' if len(others) > 1 else ''} {lines}" if others else ""
    rule = f"{' and '.join(first.node.entries)} is an entry of its own{more}: it belongs to the entry above"
    first.error(rule, "Take the '- ' away, and put two spaces in its place")


def _is_list_of_maps(section: Place, kind: Kind) -> bool:
    node, first = section.node, kind.required[0]
    if is_empty(section) or isinstance(node, Items):
        return True
    if section.is_alias:
        return False
    if isinstance(node, Scalar):
        hint = f"Write '- {first}: {yaml_text(node.text)}' below it"
        hint += "".join(f", and '{name}: …' below that" for name in kind.required[1:])
    else:
        assert isinstance(node, Entries)
        dashed = next((key for key in node.entries if key.startswith("-") and key[1:] in kind.known), "")
        if dashed:
            rule = f"a space is missing after the '-' of {quoted(dashed)}"
            replace(section, line=node.key_lines[dashed]).error(rule, _dashed_hint(dashed[1:]))
            return False
        top = next(iter(node.entries))
        hint = f"Put '- ' in front of {quoted(top)}, and two spaces in front of each other line of it"
    section.error(f"must be a list of maps with {' and '.join(kind.required)}", hint)
    return False


def _dashed_hint(key: str) -> str:
    return f"Write '- {key}:', and two spaces in place of the '-' of the entry's other keys"


def _is_map(place: Place, kind: Kind) -> bool:
    if isinstance(place.node, Entries):
        return True
    if place.is_alias:
        return False
    hint = "Take one '- ' away" if isinstance(place.node, Items) else "Take the '-' away"
    if isinstance(place.node, Scalar) and place.node.value is not None:
        hint = f"Write '- {kind.required[0]}: {yaml_text(place.node.text)}'"
        hint += "".join(f", and '{name}: …' below it" for name in kind.required[1:])
    place.error(f"must be a map with {' and '.join(kind.required)}", hint)
    return False


def is_empty(section: Place) -> bool:
    """Whether a section counts as an empty list: unset, or an empty map, which Ruby iterates just as well."""
    return section.is_unset or (isinstance(section.node, Entries) and not section.node.entries)


def is_list(place: Place, of: str, example: str = "") -> bool:
    """Whether a value can be read as a list of texts; else adds an error. Unset and an empty map are empty lists."""
    node = place.node
    if is_empty(place) or isinstance(node, Items):
        return True
    if isinstance(node, Scalar) and not place.is_alias:
        example = f"[{yaml_text(node.text)}]"
    if not place.is_alias:
        place.error(f"must be a list of {of}", f"Write '{place.name}: {example}'" if example else "")
    return False


def ruby_text(place: Place) -> str:
    """A value as text, by the agent's `to_s.strip`; an error for a list or a map.

    Warns if YAML reads the text as something else (`runas: yes` is the user "true").
    """
    if not isinstance(place.node, Scalar):
        place.error(*_not_text(place))
        return ""
    value, written = place.node.value, place.node.text
    if isinstance(value, Alias):
        return ""
    text = _to_s(value).strip(_BLANKS)
    if not isinstance(value, str) and text != written:
        place.warn(
            f"YAML reads {quoted(written)} as {quoted(text)}, and so does the agent",
            f"Put it in quotes: {yaml_text(written)}",
        )
    return text


def strict_text(place: Place, hint: str = "") -> str | None:
    """A value that must be text, unchanged; None and an error otherwise.

    `hint` is for a text that YAML reads as a number or the like; by default, to put it in quotes.
    """
    node = place.node
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    if isinstance(node, Scalar):
        if not place.is_alias:
            rule = f"must be text, and YAML reads {quoted(node.text)} as something else"
            place.error(rule, hint or f"Put it in quotes: {yaml_text(node.text)}")
    else:
        place.error(*_not_text(place))
    return None


def _not_text(place: Place) -> tuple[str, str]:
    """Rule and hint for a list or a map instead of text; `{{ name }}` is a map in a map to YAML."""
    if isinstance(place.node, Entries) and any(key.startswith("(line ") for key in place.node.entries):
        rule = "this looks like a template, {{ … }}, that was not filled in"
        return rule, "Write what it stands for, or fill it in before the bundle is made"
    if isinstance(place.node, Items) and len(place.node.items) == 1 and isinstance(place.node.items[0], Scalar):
        return "must be text, not a list", f"Write '{place.name}: {yaml_text(place.node.items[0].text)}'"
    return "must be text, not a list or a map", f"Write it in one line, as in '{place.name}: some-text'"


def _to_s(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.name if isinstance(value, Symbol) else str(value)
