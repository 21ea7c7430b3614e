"""How the fields of an AppSpec are read: a section of the document, its place, and where its problems go.

Used by `appspec.py` (document, files, hooks) and `appspec_permissions.py`; it knows types of values, not sections.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from towline.model.problem import Problem, Severity, did_you_mean
from towline.model.yaml_nodes import Entries, Items, Node, Scalar, Symbol

_BLANKS = " \t\n\v\f\r\0"  # what Ruby's strip takes away


@dataclass
class Findings:
    """The problems of one document, and in which line each key that was read stands."""

    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def error(self, place: Place, rule: str, hint: str = "") -> None:
        """What the agent refuses, or what could not work."""
        self.problems.append(Problem(line=place.line, key=place.key, rule=rule, hint=hint))

    def warn(self, place: Place, rule: str, hint: str = "") -> None:
        """What the agent lets pass and people were hurt by."""
        problem = Problem(line=place.line, key=place.key, rule=rule, hint=hint, severity=Severity.WARNING)
        self.problems.append(problem)


@dataclass(frozen=True)
class Place:
    """A node of the document, with the path to it: `hooks.AfterInstall[0].timeout`."""

    node: Node | None
    key: str
    line: int
    found: Findings

    def error(self, rule: str, hint: str = "") -> None:
        """Adds an error here."""
        self.found.error(self, rule, hint)

    def warn(self, rule: str, hint: str = "") -> None:
        """Adds a warning here."""
        self.found.warn(self, rule, hint)

    @property
    def is_unset(self) -> bool:
        """Whether it is absent or null; Ruby's `||` counts false as unset, too."""
        return self.node is None or (
            isinstance(self.node, Scalar) and (self.node.value is None or self.node.value is False)
        )

    def at(self, name: str) -> Place:
        """The place of a key below; its node is None where the key is absent or null."""
        assert isinstance(self.node, Entries)
        line = self.node.key_lines.get(name, self.line)
        place = replace(self, node=self.node.get(name), key=f"{self.key}.{name}" if self.key else name, line=line)
        if name in self.node.entries:
            self.found.lines[place.key] = line
        return place

    def items(self) -> list[Place]:
        """The places of a list's items; none for an empty map, which Ruby walks through just as well."""
        if not isinstance(self.node, Items):
            return []
        places = [
            replace(self, node=node, key=f"{self.key}[{index}]", line=node.line)
            for index, node in enumerate(self.node.items)
        ]
        self.found.lines.update({place.key: place.line for place in places})
        return places

    def check_keys(self, known: Collection[str], hints: dict[str, str] | None = None) -> None:
        """Warns of each key that the agent ignores."""
        assert isinstance(self.node, Entries)
        for name, line in self.node.key_lines.items():
            if name not in known:
                hint = (hints or {}).get(name) or did_you_mean(name, known)
                replace(self, key=f"{self.key}.{name}" if self.key else name, line=line).warn(
                    "unknown key, ignored by the agent", hint
                )


def is_list(place: Place, of: str) -> bool:
    """Whether a section may be walked as a list; else an error. Unset and an empty map count as empty lists."""
    node = place.node
    if place.is_unset or isinstance(node, Items) or (isinstance(node, Entries) and not node.entries):
        return True
    mend = "Put '- ' in front of it" if isinstance(node, Entries | Scalar) else ""
    place.error(f"must be a list of {of}", mend)
    return False


def is_map(place: Place, of: str) -> bool:
    """Whether an item is a map; else an error that tells what it should be."""
    if isinstance(place.node, Entries):
        return True
    place.error(f"must be a map with {of}")
    return False


def ruby_text(place: Place) -> str:
    """A value as the agent's `to_s.strip` makes text of it; an error for a list or a map.

    A word that YAML took for something else (`runas: yes` is the user "true") is warned of.
    """
    if not isinstance(place.node, Scalar):
        place.error("must be text, not a list or a map")
        return ""
    value, written = place.node.value, place.node.text
    text = _to_s(value).strip(_BLANKS)
    if not isinstance(value, str) and text != written:
        place.warn(f"YAML reads {written} as {text!r}, and so does the agent", f'Put it in quotes: "{written}"')
    return text


def strict_text(place: Place, why: str) -> str | None:
    """A value that must be text and is used as it is; None and an error otherwise."""
    if isinstance(place.node, Scalar) and isinstance(place.node.value, str):
        return place.node.value
    written = place.node.text if isinstance(place.node, Scalar) else ""
    place.error(f"must be text{f', and YAML reads {written} as something else' if written else ''}", why)
    return None


def _to_s(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.name if isinstance(value, Symbol) else str(value)
