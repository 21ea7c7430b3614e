"""How the runner starts: one text in two places, one line for every shell."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from towline.errors import HostRefused
from towline.transports.base import ended_early
from towline.transports.bootstrap import BOOTSTRAP, start_command

LAUNCHER = Path(__file__).parents[2] / "deploy" / "towline-launcher"


def test_launcher_holds_the_same_bootstrap() -> None:
    assert "'" not in BOOTSTRAP
    assert f"bootstrap='{BOOTSTRAP.rstrip()}'" in LAUNCHER.read_text()


def test_command_is_one_line_and_carries_no_order() -> None:
    command = start_command("ab" * 32, become_root=True)
    assert "\n" not in command
    assert "sudo -n " in command
    assert "sudo" not in start_command("ab" * 32, become_root=False)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "csh"])
def test_every_login_shell_can_read_it(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    command = start_command("ab" * 32, python="/nowhere/$(my) 'python'", become_root=False)
    done = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=True)
    event = json.loads(done.stdout)
    assert (event["kind"], event["code"]) == ("refused", "NoPython")
    assert "ssh.python" in event["message"]


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_host_without_sudo_is_told_in_one_line_and_not_by_the_bootstraps_source(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    (tmp_path / "python3").symlink_to(shutil.which("python3") or "")
    command = start_command("ab" * 32, become_root=True).replace("/bin/sh", str(shutil.which(shell)), 1)
    done = subprocess.run(
        [str(shutil.which("sh")), "-c", command], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert "import os" not in done.stderr
    error = ended_early(done.returncode, done.stderr, done.stdout, spoke=False)
    assert isinstance(error, HostRefused) and error.code == "SudoMissing"
    assert "Install sudo" in error.hint
