"""The sandbox relies on a class of the SDK that is no promise: what was tested is pinned, and what comes later runs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from tests.harness import ROOT
from workflows import sandbox

LATER_SDK = """
import abc, temporalio.converter
from temporalio.worker import WorkflowInstance
{change}
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from workflows.sandbox import SANDBOX
assert type(SANDBOX) is SandboxedWorkflowRunner, SANDBOX
assert "towline" in SANDBOX.restrictions.passthrough_modules
"""
CHANGES = {
    "one more abstract method": """
WorkflowInstance.get_something_new = abc.abstractmethod(lambda self: None)
abc.update_abstractmethods(WorkflowInstance)""",
    "a class that is gone": "del temporalio.converter.StorageDriverStoreContext",
}


def test_with_this_sdk_the_quick_sandbox_is_used() -> None:
    assert type(sandbox.SANDBOX) is sandbox.Sandbox


@pytest.mark.parametrize("change", CHANGES)
def test_with_a_later_sdk_its_own_runner_is_used(change: str) -> None:
    code = LATER_SDK.format(change=CHANGES[change])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_sdk_that_was_not_tested_is_not_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [one for one in map(Requirement, project["dependencies"]) if one.name == "temporalio"]
    major, minor, *_ = map(int, version("temporalio").split("."))
    assert wanted.specifier.contains(f"{major}.{minor}.99")
    assert not wanted.specifier.contains(f"{major}.{minor + 1}.0")
