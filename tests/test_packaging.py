"""The wheel: built from this tree, unpacked elsewhere, started in a folder that has modules of our names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import towline
from tests.harness import ROOT

SHIPPED = ("towline", "workflows", "activities", "worker.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is made of, so that nothing is written beside the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """The wheel, built as deploy/README.md says."""
    (build,) = commands("pip wheel")
    done = shell(build, source)
    assert done.returncode == 0, done.stderr
    (wheel,) = source.glob("dist/*.whl")
    return wheel


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}  # the dependencies are taken from this environment


def commands(word: str) -> list[str]:
    """The lines of deploy/README.md's commands that have this in them."""
    return [line.strip() for line in (ROOT / "deploy/README.md").read_text().splitlines() if word in line]


def shell(line: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a documented line with this Python."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    if not (bin_folder / "python3.11").exists():
        (bin_folder / "python3.11").symlink_to(sys.executable)
    told = {**os.environ, "PIP_QUIET": "1", "PATH": f"{bin_folder}:{os.environ['PATH']}", **environ}
    return subprocess.run(["sh", "-ec", line], cwd=folder, env=told, capture_output=True, text=True)


def version_in(venv: Path) -> str:
    """What the installed console script says, with the dependencies of this environment."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    dependencies = Path(pytest.__file__).parent.parent
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    done = subprocess.run([str(venv / "bin/towline"), "--version"], cwd=venv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_documented_install_works(wheel: Path, source: Path, tmp_path: Path) -> None:
    (install,) = commands("bin/pip install")
    done = shell(install.replace("/opt/towline", str(tmp_path / "opt")), source, **OFFLINE)
    assert done.returncode == 0, done.stderr
    assert version_in(tmp_path / "opt") == f"towline, version {towline.__version__}"


@pytest.mark.slow
def test_the_ci_sample_installs_from_a_wheels_address(wheel: Path, tmp_path: Path) -> None:
    job = yaml.safe_load((ROOT / "deploy/ci/github-actions.yml").read_text())["jobs"]["deploy"]
    (install,) = [step["run"] for step in job["steps"] if "pip install" in step.get("run", "")]
    venv.create(tmp_path / "env", with_pip=True)
    path = f"{tmp_path / 'env/bin'}:{os.environ['PATH']}"
    done = shell(install, tmp_path, PATH=path, WHEEL_URL=wheel.as_uri(), **OFFLINE)
    assert done.returncode == 0, done.stderr
    assert version_in(tmp_path / "env") == f"towline, version {towline.__version__}"


def test_nothing_says_to_install_what_is_not_published() -> None:
    """Until it is: then this test goes, and the pages become shorter."""
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *(path for path in ROOT.glob("deploy/**/*") if path.is_file()),
    ]
    for page in pages:
        assert not re.search(r"pip3? install .*\btowline(\[|\s|$|['\"])", page.read_text()), page


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
    made_by_imports = "__pycache__"  # another test of this file has imported worker.py from here
    assert tops - {"towline-script.py", made_by_imports} == {"towline", "workflows", "activities", "worker.py"}
    (entry,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "towline = towline.cli.main:main" in entry.read_text()
