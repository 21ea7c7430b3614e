"""Joins the runner's modules into the one file that is sent to hosts, and the agent's into theirs.

The result depends on the sources alone: modules in the order of their imports, then by name. Their imports of each
other go, their imports of the standard library stand once at the top, and everything else is kept line by line, so
that a line of the joined file leads back to its module (`tracebacks.JOINED`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGES = ("towline.host.runner.", "towline.host.agent.")
HEADER = '"""towline\'s runner, joined from its modules: see https://pypi.org/project/towline/."""'
AGENT_HEADER = (
    '#!/usr/bin/env python3\n"""towline\'s agent, joined from its modules: see https://pypi.org/project/towline/."""'
)
PLACES = "JOINED = ()"


class CannotJoin(Exception):
    """The modules do not fit into one file; the message names module and line."""


@dataclass(frozen=True)
class Module:
    """One module: what it imports, and its body from line `first` (1-based) on."""

    name: str
    standard: tuple[str, ...]
    needs: frozenset[str]
    defines: tuple[str, ...]
    first: int
    body: tuple[str, ...]


def read_module(name: str, source: str) -> Module:
    """Parses a module of the runner. Raises CannotJoin where its imports cannot be taken out.

    >>> read_module("a", "import os\\nfrom towline.host.runner.b import x\\n\\ny = x").needs
    frozenset({'b'})
    """
    tree, lines = ast.parse(source), source.rstrip("\n").split("\n")
    standard: list[str] = []
    needs: set[str] = set()
    defines: list[str] = []
    last_import = 0
    for node in tree.body:
        if node is tree.body[0] and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            last_import = max(last_import, node.end_lineno or 0)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if defines:
                raise CannotJoin(f"{name}.py:{node.lineno}: an import behind a definition")
            _read_import(name, node, standard, needs)
            last_import = node.end_lineno or 0
        else:
            defines += _names(node)
    for inner in ast.walk(tree):
        if isinstance(inner, ast.ImportFrom) and inner not in tree.body and (inner.module or "").startswith("towline"):
            raise CannotJoin(f"{name}.py:{inner.lineno}: an import of a module of the runner inside a function")
    body = lines[last_import:]
    while body and not body[0].strip():
        body, last_import = body[1:], last_import + 1
    return Module(name, tuple(standard), frozenset(needs), tuple(defines), last_import + 1, tuple(body))


def _read_import(name: str, node: ast.Import | ast.ImportFrom, standard: list[str], needs: set[str]) -> None:
    if any(alias.asname for alias in node.names):
        raise CannotJoin(f"{name}.py:{node.lineno}: an import under another name")
    if isinstance(node, ast.Import):
        standard += [alias.name for alias in node.names]
    elif node.module and node.module.startswith(PACKAGES):
        needs.add(node.module.rpartition(".")[2])
    else:
        raise CannotJoin(f"{name}.py:{node.lineno}: from {node.module} import: import the module itself")


def _names(node: ast.stmt) -> list[str]:
    """The names that a statement of a module's top level defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    stored = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return stored if isinstance(node, ast.Assign | ast.AnnAssign) else stored[:0]


def in_order(modules: dict[str, Module]) -> list[Module]:
    """The modules, each behind what it imports. Raises CannotJoin for a cycle, or an import of what is not there."""
    for module in modules.values():
        if missing := module.needs - modules.keys():
            raise CannotJoin(f"{module.name}.py imports {', '.join(sorted(missing))}, which the runner does not have")
    sorter = TopologicalSorter({name: sorted(modules[name].needs) for name in sorted(modules)})
    try:
        return [modules[name] for name in sorter.static_order()]
    except CycleError as error:
        raise CannotJoin(f"modules import each other: {' → '.join(error.args[1])}") from None


def join_modules(sources: dict[str, str], header: str = HEADER) -> str:
    """The joined file of modules by name (without `.py`). Raises CannotJoin, also for a name that is defined twice.

    >>> print(join_modules({"a": "import os\\nA = os.sep", "b": "from towline.host.runner.a import A\\nB = A"}))
    ... # doctest: +ELLIPSIS
    \"""towline's runner...
    import os
    <BLANKLINE>
    A = os.sep
    <BLANKLINE>
    B = A
    <BLANKLINE>
    """
    modules = in_order({name: read_module(name, source) for name, source in sources.items()})
    owners: dict[str, str] = {}
    for module in modules:
        for name in dict.fromkeys(module.defines):
            if name in owners:
                raise CannotJoin(f"{name} is defined in {owners[name]}.py and in {module.name}.py")
            owners[name] = module.name
    standard = sorted({name for module in modules for name in module.standard})
    lines = [header, *(f"import {name}" for name in standard)]
    places = []
    for module in modules:
        lines.append("")
        places.append((len(lines) + 1, module.name, module.first))
        lines += module.body
    table = f"JOINED = {tuple(places)!r}"
    return "\n".join(table if line.startswith(PLACES) else line for line in lines) + "\n"


def runner_source() -> str:
    """The runner as hosts get it."""
    return join_modules(_sources("runner"))


def agent_source(version: str, bootstrap: str) -> str:
    """The agent as hosts install it: of this version, starting runners by this bootstrap."""
    sources = _sources("agent")
    for module, given, value in (("carrier", 'VERSION = "0"', version), ("conversation", 'BOOTSTRAP = ""', bootstrap)):
        name = given.partition(" ")[0]
        assert f"\n{given}" in sources[module], name
        sources[module] = sources[module].replace(f"\n{given}", f"\n{name} = {value!r}")
    return join_modules(sources, AGENT_HEADER)


def _sources(folder: str) -> dict[str, str]:
    files = sorted(file for file in (Path(__file__).parent / folder).glob("*.py") if file.stem != "__init__")
    return {file.stem: file.read_text(encoding="utf-8") for file in files}
