"""What is named on the command line and is no file: pipes, devices, and files that are far too large."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from towline.cli import input_files
from towline.cli.main import run

APPSPEC = "version: 0.0\nos: linux\n"


def test_what_a_pipe_gives_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(APPSPEC))
    writer.start()
    assert run(["validate", str(pipe)]) == 0
    writer.join()
    assert "no problems" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["validate"], ["apply", "--yes", "-f"]])
def test_a_pipe_into_which_nothing_is_written_ends_with_an_error(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "PATIENCE_SECONDS", 0.05)
    for name in ("pipe", "bundle.tgz"):
        pipe = tmp_path / name
        os.mkfifo(pipe)
        holder = os.open(pipe, os.O_RDWR)  # somebody holds it open and writes nothing
        assert run([*command, str(pipe)]) == 2
        os.close(holder)
        assert "nothing came from it" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["validate"], ["apply", "--yes", "-f"]])
def test_a_device_without_end_is_too_large(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "/dev/zero"]) == 2
    assert "/dev/zero: it has more than" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["validate"], ["apply", "--yes", "-f"]])
def test_very_many_unknown_keys_are_counted(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "many.yml"
    keys = "".join(f"k{number:x}: 1\n" for number in range(20_000))
    file.write_text((APPSPEC if command == ["validate"] else "owner: me\n") + keys)
    run([*command, str(file)])
    told = capsys.readouterr()
    assert " more " in told.out + told.err
    assert len((told.out + told.err).splitlines()) < 150


def test_brackets_without_end_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep.yml"
    for depth in (500, 100_000):
        file.write_text("a: " + "[" * depth + "]" * depth)
        assert run(["validate", str(file)]) == 2
        assert run(["apply", "--yes", "-f", str(file)]) == 2
        assert "not YAML" in capsys.readouterr().err
