"""Exit statuses are true whatever becomes of stdout, stderr and the environment's values; no trace, no status 70."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT

pytestmark = pytest.mark.slow  # some sixty commands

TOWLINE = f"{sys.executable} -m towline"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good bundle in it."""
    made = tmp_path_factory.mktemp("streams")
    (made / "b").mkdir()
    (made / "b/appspec.yml").write_text(
        "version: 0.0\nos: linux\nfiles:\n  - {source: index.html, destination: /srv/shop}\n"
    )
    (made / "b/index.html").write_text("hi\n")
    return made


def sh(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("TOWLINE_", "TEMPORAL_"))},
        "PYTHONPATH": str(ROOT),
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        **environ,
    }
    return subprocess.run(
        ["bash", "-c", command.replace("towline", TOWLINE)],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=60,
    )


LINES = [
    ("a verdict, stdout closed", "towline validate b >&-", 0),
    ("a verdict, stdout full", "towline validate b --json > /dev/full", 0),
    ("a verdict, stderr full", "towline validate b 2> /dev/full", 0),
    ("a bad verdict, stderr full", "towline validate absent 2> /dev/full", 2),
    ("a bad verdict, everything closed", "towline validate absent <&- >&- 2>&-", 2),
    ("work that is done, stdout full", "towline push b done.tgz > /dev/full && test -s done.tgz", 0),
    ("work that is done, stdout closed", "towline push b done-too.tgz >&- && test -s done-too.tgz", 0),
    ("work that is done, nobody reads", "set -o pipefail; towline push b read.tgz --json | true", 0),
    ("help that cannot be written", "towline --help > /dev/full", 1),
    ("help that nobody wants", "towline --version >&-", 0),
    ("no stdin to ask on", "towline rollback d-1 <&-", 2),
    ("no stdin to read", "towline apply -f - <&-", 2),
    ("no Temporal, stderr closed", "towline list 2>&-", 5),
    ("a port that is none", "TEMPORAL_ADDRESS=host:99999 towline list", 2),
    ("an address that is no text", r"TEMPORAL_ADDRESS=$'\xff' towline list", 2),
    ("a namespace that is no text", r"TEMPORAL_NAMESPACE=$'\xff' towline list", 2),
    ("a store that is no text", r"TOWLINE_STORE=$'\xff' towline list", 2),
    ("a certificate that is not there", "TEMPORAL_TLS_CLIENT_CERT_PATH=/absent towline list", 2),
    ("a home of no user", "TOWLINE_DATA_DIR='~absent/x' towline list", 2),
    ("no HOME", "env -u HOME towline list", 5),
    ("an empty HOME", "HOME= towline list", 5),
    ("no TERM, columns that are no number", "env -u TERM COLUMNS=many towline list", 5),
    ("negative columns", "COLUMNS=-5 towline validate b", 0),
    ("another locale", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 towline validate b", 0),
    ("letters that the encoding lacks", "PYTHONIOENCODING=ascii towline validate $'\\u00e4'", 2),
    ("a path that is no text", r"towline validate $'\xff'", 2),
    ("a group that is no text", r"towline deploy shop $'\xff' --revision b", 2),
    ("an id that is no text", r"towline status $'\xff'", 5),
    ("a file that is no text", r"towline push b $'\xff.tgz' --json", 0),
]


@pytest.mark.parametrize(("line", "status"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_the_status_is_of_the_work(line: str, status: int, folder: Path) -> None:
    done = sh(line, folder)
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr and b"internal error" not in done.stderr


def test_a_variable_that_cannot_be_used_is_named(folder: Path) -> None:
    for name in ("TOWLINE_STORE", "TEMPORAL_NAMESPACE", "TEMPORAL_ADDRESS"):
        assert name.encode() in sh(rf"{name}=$'\xff' towline list", folder).stderr


def interrupted(folder: Path, number: signal.Signals, *words: str) -> tuple[int, str]:
    """Status and stderr of `towline WORDS` that gets a signal while it waits for Temporal."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and says nothing
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "towline", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TEMPORAL_ADDRESS": address},
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(30)
        connection, _ = silent.accept()  # it is at work
        with connection:
            process.send_signal(number)
            _, said = process.communicate(timeout=30)
    return process.returncode, said


def test_sigterm_is_said_and_is_143(folder: Path) -> None:
    assert interrupted(folder, signal.SIGTERM, "list") == (143, "terminated\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_deploy_that_is_interrupted_before_it_starts_anything_says_so(
    folder: Path, number: signal.Signals, status: int
) -> None:
    told = interrupted(folder, number, "deploy", "shop", "web", "--revision", "b")
    assert told == (status, "\nInterrupted: no deployment was started.\n")


def test_the_documented_table_has_every_status() -> None:
    from towline.model.deployment.exit_status import ExitStatus

    page = (ROOT / "docs/commands.md").read_text()
    told = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert told == {int(status) for status in ExitStatus}
