"""`towline.client`: what it exports is sorted, documented, typed and asynchronous, and no door is behind it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys

import pytest

from tests.harness import ROOT
from towline import client

PAGE = ROOT / "docs/python.md"
SERVICES = [client.Catalogue, client.DeploymentService, client.LogReader]


def test_all_is_what_the_module_defines_in_order() -> None:
    public = {name for name in vars(client) if not name.startswith("_")} - {"annotations"}
    assert set(client.__all__) == public
    assert client.__all__ == sorted(client.__all__)


@pytest.mark.parametrize("name", client.__all__)
def test_each_export_is_documented(name: str) -> None:
    assert (getattr(client, name).__doc__ or "").strip()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: str(service.__name__))
def test_each_public_method_is_documented_and_typed(service: type) -> None:
    for name, method in inspect.getmembers(service, inspect.isfunction):
        if not name.startswith("_"):
            assert method.__doc__, f"{service.__name__}.{name} has no docstring"
            assert method.__annotations__.get("return"), f"{service.__name__}.{name} does not say what it returns"


def test_it_imports_neither_click_nor_a_door() -> None:
    code = (
        "import sys, towline.client;"
        "print([m for m in sys.modules if m.split('.')[0] in ('click', 'rich', 'boto3', 'asyncssh', 'uvicorn')"
        " or m in ('towline.cli', 'towline.api')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_shows_what_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert example
    imported = [
        alias.name
        for node in ast.walk(ast.parse(example[1]))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert imported and set(imported) <= set(client.__all__)
    called = set(re.findall(r"(?<![\w.])(\w+)\(", " ".join(re.findall(r"`([^`\n]+)`", text))))
    known = {*client.__all__, *dir(client.DeploymentService)}
    assert called - known == set()
