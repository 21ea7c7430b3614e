"""YAML with places: plain values, and the line of each.

Duplicate keys are problems (YAML silently uses the last one). Anchors and `<<` merges work.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

from towline.model.problem import Problem

Location = tuple[str | int, ...]

# The C loader is about ten times faster; PyYAML may have been built without it.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_DEPTH = 40
MAX_VALUES = 5_000_000


@dataclass
class Document:
    """A YAML document: its value, its problems, and the lines of its nodes."""

    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    root: Any = None  # yaml.Node

    def line(self, location: Location) -> int:
        """The line of a key or item (from 1); if it does not exist, that of the nearest node around it."""
        node, line = self.root, 1
        for step in location:
            if isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in reversed(node.value) if pair[0].value == str(step)), None)
                if pair is None:
                    return line
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                return line
        return line


def parse_yaml(text: str) -> Document:
    """Parses one document; a syntax error is a problem, too. Never raises."""
    try:
        loader = Loader(text.removeprefix("\ufeff"))
        try:
            root = loader.get_single_node()
            problems: list[Problem] = []
            if root is not None:
                _check_node(root, (), problems, set())
                _check_size(root, {}, 0)
            value = loader.construct_document(root) if root is not None and not problems else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return Document(problems=[_syntax_problem(error)])
    return Document(value, problems, root)


def spell(location: Location) -> str:
    """A location as people write it.

    >>> spell(("applications", 0, "deploymentGroups", 1, "where"))
    'applications[0].deploymentGroups[1].where'
    """
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _check_node(node: yaml.Node, at: Location, problems: list[Problem], seen: set[int]) -> None:
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _check_node(item, (*at, index), problems, seen)
        return
    lines: dict[Hashable, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(line=key.start_mark.line + 1, key=spell(at), rule="a key must be text"))
            continue
        line = key.start_mark.line + 1
        if key.value in lines and key.value != "<<":
            rule = f"this key is there twice (first on line {lines[key.value]})"
            problems.append(Problem(line=line, key=spell((*at, key.value)), rule=rule, hint="Keep one of them."))
        lines[key.value] = line
        _check_node(value, (*at, key.value), problems, seen)


def _check_size(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """The number of values below a node with aliases followed, to refuse a "billion laughs" document."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply, or an anchor that contains itself")
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in sizes:
        inner = [item for pair in node.value for item in pair] if isinstance(node, yaml.MappingNode) else node.value
        sizes[id(node)] = 1 + sum(_check_size(item, sizes, depth + 1) for item in inner)
        if sizes[id(node)] > MAX_VALUES:
            raise ValueError("aliases make this document too large")
    return sizes[id(node)]


def _syntax_problem(error: Exception) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        text = ", ".join(part for part in (error.context, error.problem) if part)
        return Problem(line=error.problem_mark.line + 1, key="", rule=f"not YAML: {text}")
    return Problem(line=0, key="", rule=f"not YAML: {error}")
