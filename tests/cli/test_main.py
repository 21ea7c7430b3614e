"""The console entry: whose modules it finds, what errors look like, what a command line's exit status is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click
import pytest

import towline
from tests.harness import ROOT
from towline import errors
from towline.cli.commands import cli
from towline.cli.main import run
from towline.cli.options import BUNDLE_TYPE
from towline.model.bundle.revision import BundleType
from towline.model.deployment.exit_status import status_of
from towline.model.problem import Problem


def command_line(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs `towline WORDS` as its console script does, in a folder of the caller's."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); from towline.cli.main import main; main()"
    environment = {**os.environ, **environ}
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, env=environment, timeout=60
    )


def test_version_and_help(tmp_path: Path) -> None:
    assert command_line("--version", cwd=tmp_path).stdout == f"towline, version {towline.__version__}\n"
    shown = command_line("--help", cwd=tmp_path).stdout
    assert all(f"\n  {name} " in shown for name in cli.commands)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); from towline.cli.main import run; run(['--help']);"
        "print([m for m in ('temporalio', 'boto3', 'asyncssh', 'rich', 'pydantic', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_deploy_loads_what_reads_archives_and_lists_only_where_it_needs_them(tmp_path: Path) -> None:
    """Half of the time that a command takes is imports."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); import towline.cli.deploy; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    unneeded = {"yaml", "tarfile", "difflib", "boto3", "towline.model.appspec.parser", "towline.model.host.events"}
    unneeded |= {"towline.deployments.listing", "towline.deployments.journal", "towline.model.deployment.report"}
    assert unneeded & set(done.stdout.split()) == set()


def test_our_own_modules_win_in_a_folder_that_has_others_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text("def main(): print('theirs')\n")
    for name in ("workflows", "activities"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('theirs')\n")
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); from towline.cli.main import put_ours_first; put_ours_first();"
        "import workflows, activities; print(workflows.__file__, activities.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [str(ROOT / "workflows/__init__.py"), str(ROOT / "activities/__init__.py")]


def test_a_misspelt_command_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dploy"]) == 2
    assert "Did you mean deploy?" in capsys.readouterr().err


STATUSES = [
    (errors.InvalidRequest("m"), 2),
    (errors.InvalidManifest("m"), 2),
    (errors.NotFound("m"), 2),
    (errors.Conflict("m"), 2),
    (errors.TemporalUnavailable("m"), 5),
    (errors.OurFault("m"), 1),
]


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=[type(row[0]).__name__ for row in STATUSES])
def test_each_error_has_its_exit_status(error: errors.TowlineError, status: int) -> None:
    assert status_of(error) == status


Raising = Callable[[BaseException], None]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Raising:
    """Makes `towline status` raise the given thing."""

    def install(error: BaseException) -> None:
        @click.command(context_settings={"ignore_unknown_options": True})
        @click.argument("words", nargs=-1)
        def command(words: tuple[str, ...]) -> None:
            raise error

        monkeypatch.setattr(type(cli), "get_command", lambda self, ctx, name: command)

    return install


def test_an_error_is_one_line_that_ends_with_the_next_step(
    raising: Raising, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(errors.NotFound("no deployment d-1.", "See: towline list"))
    assert run(["status", "d-1"]) == 2
    assert capsys.readouterr() == ("", "no deployment d-1.  See: towline list\n")


def test_each_problem_is_told(raising: Raising, capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem(line=3, key="hooks", rule="no such event"), Problem(line=9, key="os", rule="is linux")]
    raising(errors.InvalidAppSpec("the AppSpec has 2 problems.", problems))
    assert run(["status", "x"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "line 3, hooks: no such event",
        "line 9, os: is linux",
        "the AppSpec has 2 problems.",
    ]


def test_debug_shows_the_trace_wherever_it_stands(raising: Raising, capsys: pytest.CaptureFixture[str]) -> None:
    raising(errors.NotFound("gone"))
    run(["status", "x", "--debug"])
    assert "Traceback" in capsys.readouterr().err
    run(["status", "x"])
    assert "Traceback" not in capsys.readouterr().err


def test_what_nobody_expected_is_neither_success_nor_a_status_with_a_meaning(raising: Raising) -> None:
    raising(ZeroDivisionError("1/0"))
    assert run(["status", "x"]) == 70


def test_an_interrupt_is_130(raising: Raising) -> None:
    raising(KeyboardInterrupt())
    assert run(["status", "x"]) == 130


def test_a_closed_pipe_leaves_no_trace(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = f"import sys; sys.path.append({str(ROOT)!r}); from towline.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_choices_are_those_of_the_model() -> None:
    assert tuple(BUNDLE_TYPE.choices) == get_args(BundleType)
