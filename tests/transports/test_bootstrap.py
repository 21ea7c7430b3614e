"""How the runner starts: one text in two places, one line for every shell."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT
from towline.errors import HostRefused
from towline.host.bootstrap import BOOTSTRAP
from towline.transports.base import ended_early
from towline.transports.bootstrap import Runner, start_command

LAUNCHER = ROOT / "deploy" / "towline-launcher"


def test_launcher_holds_the_same_bootstrap() -> None:
    assert "'" not in BOOTSTRAP
    assert f"bootstrap='{BOOTSTRAP.rstrip()}'" in LAUNCHER.read_text()


def started(state: Path, runner: Runner) -> list[str]:
    """What the bootstrap and then the runner print; the runner is sent where it is asked for."""
    bootstrap = BOOTSTRAP.replace("/var/lib/towline", str(state))
    told = b"{}\n" + json.dumps({"size": len(runner.source)}).encode() + b"\n" + runner.source
    command = [sys.executable, "-I", "-S", "-c", bootstrap, runner.sha256]
    return subprocess.run(command, input=told, capture_output=True, check=True).stdout.decode().splitlines()


def test_a_runner_that_is_kept_runs_only_if_it_has_the_whole_digest(tmp_path: Path) -> None:
    runner = Runner.of(b"def main():\n    print('right')\n")
    kept = tmp_path / "state/runner" / f"towline_runner_{runner.sha256}.py"
    asked = '{"kind": "need", "what": "runner"}'
    assert started(tmp_path / "state", runner) == [asked, "right"]
    assert started(tmp_path / "state", runner) == ["right"]
    kept.write_bytes(b"def main():\n    print('wrong')\n")
    assert started(tmp_path / "state", runner) == [asked, "right"]
    namesake = kept.with_name(f"towline_runner_{runner.sha256[:16]}.py")
    kept.rename(namesake)
    assert started(tmp_path / "state", runner) == [asked, "right"]


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
