"""The direction of imports: which of our parts may import which. Whoever runs against an arrow is named with its line.

An import inside a function counts too: it is the same dependency, only later.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

CORE = "towline.model towline.errors"
MIDDLE = f"{CORE} towline.settings towline.temporal towline.aws towline.secret_refs towline.store towline.bundles"
MIDDLE += " towline.singleflight towline.grouping towline.creator towline.masking towline.aside"
"""Beside the core: how to reach Temporal, AWS and the store."""
SERVICES = "towline.deployments towline.catalogue towline.worker_call"
"""What every door shares."""
HOSTS = "towline.transports"

MAY_IMPORT = {
    "towline.model": CORE,
    "towline.errors": CORE,
    "workflows": CORE,
    "towline.transports": f"{CORE} towline.host towline.aside towline.agents",
    "towline.agents": f"{MIDDLE} {SERVICES} towline.host",
    "towline.bundles": f"{CORE} towline.aws towline.host towline.settings",  # one reader of archives
    "towline.codedeploy_agents": f"{MIDDLE} {SERVICES}",
    "towline.store": f"{CORE} towline.aws",
    "towline.report": CORE,
    "towline.host": "",  # sent to hosts: it knows nothing of ours
    "activities": f"{MIDDLE} {SERVICES} {HOSTS} towline.agents towline.report towline.codedeploy_agents",
    "towline.client": f"{MIDDLE} {SERVICES}",  # the services' public names
    "towline.api": f"{MIDDLE} {SERVICES} {HOSTS} towline.client towline.codedeploy_agents towline.agents",
    # The command line starts the API server.
    "towline.cli": f"{MIDDLE} {SERVICES} towline.client towline.report towline.devserver towline.api towline.agents "
    "towline.codedeploy_agents",
    **dict.fromkeys(SERVICES.split(), f"{MIDDLE} {SERVICES}"),
}


SHARED = {
    f"towline.host.runner.{name}"
    for name in (
        "glob",  # permissions, checked before a deployment as hosts will apply them
        "bundle_links",  # links in a bundle's list of members
        "bundle_tree",  # the list as a source of files
        "install_tree",  # where `files` go, and what is refused everywhere
        "text",  # paths in their plain form
    )
}
"""Of the runner, what decides the same on both sides and touches nothing: anyone may import it."""


def files() -> list[Path]:
    """Our modules, except `worker.py`, which wires all of them."""
    return sorted(file for folder in ("towline", "workflows", "activities") for file in (ROOT / folder).rglob("*.py"))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything of ours that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}:{node.lineno}: a relative import"
            is_package = node.module in ("towline", "workflows", "activities")
            names = [f"{node.module}.{alias.name}" for alias in node.names] if is_package else [node.module]
            yield from ((node.lineno, name) for name in names)


def part_of(name: str) -> str:
    """`towline.model` of `towline.model.plan`, `workflows` of `workflows.shard`; empty: not ours, or no part."""
    first, *rest = name.split(".")
    if first == "towline":
        return f"towline.{rest[0]}" if rest and not rest[0].startswith("__") else ""
    return first if first in ("workflows", "activities", "worker") else ""


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    part = part_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
    if part not in MAY_IMPORT:
        return  # stands alone, such as settings
    allowed = {part, *MAY_IMPORT[part].split()}
    against = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imports(file)
        if (target := part_of(name)) and target not in allowed and name not in SHARED
    ]
    assert not against, "against the direction of imports (docs/architecture.md): " + "; ".join(against)
