"""What `deploy/` ships, checked as far as tools can: units by systemd's own, YAML by the published schemas."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.harness import ROOT
from towline import settings
from towline.cli.commands import cli

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SYSTEMD = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD is None, reason="no systemd-analyze here: apt install systemd")


def texts() -> dict[str, str]:
    """Every file that people copy, by its name."""
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "towline-launcher"]
    return {str(path.relative_to(DEPLOY)): path.read_text() for path in files if "secrets" not in path.parts}


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    text, count = re.subn(r"^ExecStart=/opt/towline/bin/towline\b", "ExecStart=/bin/true", unit.read_text(), flags=re.M)
    assert count == 1
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run([SYSTEMD or "", "verify", str(copy)], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@needs_systemd
def test_the_check_of_units_can_fail(tmp_path: Path) -> None:
    copy = tmp_path / "towline-worker.service"
    copy.write_text(UNITS[1].read_text().replace("/opt/towline/bin/towline", "/bin/true").replace("exec", "often"))
    done = subprocess.run([SYSTEMD or "", "verify", str(copy)], capture_output=True, text=True)
    assert "towline-worker.service" in done.stderr


@needs_systemd
def test_the_worker_lives_in_a_tight_sandbox() -> None:
    """systemd's own score: 0 is sealed off, 10 is open; what a network client needs leaves some 1.5."""
    unit = DEPLOY / "systemd/towline-worker.service"
    words = ["security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run([SYSTEMD or "", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout.splitlines()[-1] + done.stderr


def test_units_start_commands_that_exist_and_leave_time_to_drain() -> None:
    commands = _commands()
    for unit in UNITS:
        text = unit.read_text()
        start = re.search(r"^ExecStart=/opt/towline/bin/towline (\S+)(.*)$", text, re.M)
        assert start and start[1] in commands
        options = {option for parameter in commands[start[1]].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", start[2])) <= options
        stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)
        assert stop and int(stop[1]) >= 30
        assert "KillMode=process" in text
        assert "/var/lib/towline\n" not in text, "the runner's own folder on hosts"


def _commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    return {name: found for name in cli.list_commands(context) if (found := cli.get_command(context, name))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("compose.yaml", "vendor.compose-spec"),
        ("ci/github-actions.yml", "vendor.github-workflows"),
        ("ci/gitlab-ci.yml", "vendor.gitlab-ci"),
    ],
)
def test_yaml_fits_its_published_schema(file: str, schema: str, tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    more = ["--data-transform", "gitlab-ci"] if "gitlab" in schema else []
    good = subprocess.run([*check, *more, str(DEPLOY / file)], capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text((DEPLOY / file).read_text().replace("environment:", "environmant:", 1).replace("runs-on", "runs"))
    bad = subprocess.run([*check, *more, str(broken)], capture_output=True, text=True)
    assert bad.returncode == 1, "the check can fail"


def test_images_have_versions_and_nothing_listens_beyond_loopback() -> None:
    services: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        image, _, version = service["image"].partition(":")
        assert image and re.match(r"\d", version), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for other in service.get("depends_on", {}):
            assert other in services
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.M)
    assert bases and all(re.search(r":\d", base) for base in bases)


def test_no_secret_has_a_value() -> None:
    for name, text in texts().items():
        for key, value in re.findall(r"(\w*(?:PASSWORD|PWD|SECRET_ACCESS_KEY|API_KEY|TOKEN))[:=] *(\S*)", text):
            assert value in ("", "…") or value.startswith("${"), f"{name}: {key}"


def test_the_image_holds_what_the_wheel_is_made_of() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {*wheel["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"], wheel["project"]["readme"]}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    assert needed | {"pyproject.toml"} <= {word for line in copied for word in line.split()}
    assert f"towline:{wheel['project']['version']}" in (DEPLOY / "compose.yaml").read_text()


def test_environment_variables_are_ones_that_towline_or_temporal_reads() -> None:
    """Of ours and Temporal's: settings.py names each; a prefix with an ellipsis stands for a family."""
    page = settings.__doc__ or ""
    known = set(re.findall(r"\b(?:TOWLINE|TEMPORAL)_[A-Z_]+(?!…)\b", page))
    families = tuple(re.findall(r"\b((?:TOWLINE|TEMPORAL)_[A-Z_]+)…", page))
    assert "TOWLINE_STORE" in known and "TEMPORAL_TLS" in families
    for name, text in texts().items():
        for variable in re.findall(r"\b(?:TOWLINE|TEMPORAL)_[A-Z_]+\b", text):
            assert variable in known or variable.startswith(families), f"{name}: {variable}"


def test_scripts_are_plain_sh() -> None:
    scripts = [path for path in DEPLOY.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")]
    assert len(scripts) >= 2
    for script in scripts:
        assert script.stat().st_mode & 0o111
        done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_page_names_every_file() -> None:
    page = (DEPLOY / "README.md").read_text()
    for name in set(texts()) - {"README.md"}:
        assert Path(name).name.removesuffix(".example") in page, name
