"""The joined runner: deterministic, every name once, and its lines lead back to the modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.harness.host.local_host import RUNNER, LocalHost
from towline.host.join import CannotJoin, join_modules, read_module, runner_source

PACKAGE = "towline.host.runner"
IMPORT = f"from {PACKAGE}"


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ({"a": "X = 1", "b": "def X():\n    pass"}, "X is defined in a.py and in b.py"),
        ({"a": "(X, Y) = 1, 2", "b": "X = 1"}, "X is defined in a.py and in b.py"),
        ({"a": f"{IMPORT}.b import x", "b": f"{IMPORT}.a import y"}, "modules import each other: a → b → a"),
        ({"a": f"{IMPORT}.b import x"}, "a.py imports b, which the runner does not have"),
        ({"a": f"{IMPORT}.b import x as y", "b": "x = 1"}, "a.py:1: an import under another name"),
        ({"a": "from os import path"}, "a.py:1: from os import: import the module itself"),
        ({"a": "A = 1\nimport os"}, "a.py:2: an import behind a definition"),
        (
            {"a": f"def f():\n    {IMPORT}.b import x", "b": "x = 1"},
            "a.py:2: an import of a module of the runner inside a function",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_by_module_and_line(modules: dict[str, str], problem: str) -> None:
    with pytest.raises(CannotJoin, match=problem.replace("(", r"\(")):
        join_modules(modules)


def test_a_text_below_a_name_takes_nothing_away() -> None:
    module = read_module("a", '"""Title."""\n\nimport os\n\nx = 1\n"""What x is."""\n\ny = os\n')
    assert module.defines == ("x", "y") and module.body[0] == "x = 1"


def test_joining_depends_on_the_sources_alone() -> None:
    modules = {"c": f"{IMPORT}.b import B\nC = B", "a": "import sys\nA = sys", "b": "B = 1"}
    assert join_modules(modules) == join_modules(dict(reversed(modules.items())))
    assert runner_source() == runner_source() == RUNNER.read_text()


def test_a_traceback_names_the_module_and_its_line(tmp_path: Path) -> None:
    joined = tmp_path / "joined.py"
    joined.write_text(runner_source())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import joined\n"
        "try:\n    joined.Records(None)\nexcept Exception:\n    print(joined.traceback_text())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    source = (ROOT / "towline/host/runner/journal.py").read_text().split("\n")
    line = next(number for number, text in enumerate(source, 1) if "open(self.path" in text)
    assert f"  journal.py, line {line}, in read_more\n    with open(self.path" in shown, shown


def test_a_fault_of_the_runner_itself_is_told_on_stderr_with_its_module(host: LocalHost, tmp_path: Path) -> None:
    broken = tmp_path / "runner.py"
    text = runner_source()
    assert text.count("    check_order(order)\n") == 1
    broken.write_text(text.replace("    check_order(order)\n", "    check_order(order)[0]\n"))
    host.runner = broken
    with host.call("inventory") as call:
        assert list(call) == []
        assert "main.py, line" in call.stderr()
    assert call.process.returncode == 1
