"""The wheel: built from this tree, unpacked elsewhere, started in a folder that has modules of our names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import towline

ROOT = Path(__file__).parent.parent
SHIPPED = ("towline", "workflows", "activities", "worker.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder of its own. Built from a copy, so that nothing is written beside the sources."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody who has a `worker.py` and packages `workflows` and `activities` too."""
    (tmp_path / "worker.py").write_text("raise SystemExit('theirs')\n")
    for name in ("workflows", "activities"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('theirs')\n")
    return tmp_path


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python that finds our dependencies where they are, and towline in the unpacked wheel alone."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(site)])}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True)


SCRIPT = "from towline.cli.main import main\nmain()\n"  # what pip makes of the console script


@pytest.mark.slow
def test_the_console_script_finds_its_own_modules(unpacked: Path, elsewhere: Path) -> None:
    script = unpacked / "towline-script.py"
    script.write_text(SCRIPT)
    done = run(unpacked, elsewhere, str(script), "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"towline, version {towline.__version__}"), done.stderr
    look = (
        "import importlib; from towline.cli.main import put_ours_first; put_ours_first()\n"
        "for name in ('worker', 'workflows.deployment', 'activities.instances'):\n"
        "    print(importlib.import_module(name).__file__)\n"
    )
    done = run(unpacked, elsewhere, "-c", look)
    assert done.returncode == 0, done.stderr or done.stdout
    assert all(line.startswith(str(unpacked)) for line in done.stdout.splitlines()), done.stdout


@pytest.mark.slow
def test_the_wheel_has_all_that_is_needed_and_no_tests(unpacked: Path) -> None:
    for name in ("worker.py", "towline/host/runner/main.py", "towline/report/page.html.j2", "workflows/deployment.py"):
        assert (unpacked / name).exists(), name
    tops = {path.name.split("-")[0] for path in unpacked.iterdir()}
    assert tops - {"towline-script.py"} == {"towline", "workflows", "activities", "worker.py"}
    (entry,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "towline = towline.cli.main:main" in entry.read_text()
