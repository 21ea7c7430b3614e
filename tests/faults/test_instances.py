"""How the harness reads what instances write: each line once, and whole ones only."""

from __future__ import annotations

from pathlib import Path

from tests.harness.faults.instances import GrowingFile


def test_a_line_is_read_when_it_is_whole_and_parsed_once(tmp_path: Path) -> None:
    path, parsed = tmp_path / "runs", []

    def parse(line: str) -> str:
        parsed.append(line)
        return line.upper()

    file = GrowingFile(lambda: path, parse)
    assert file.lines == [], "not there yet"
    path.write_text("a\nb")
    assert file.lines == ["A"]
    with path.open("a") as more:
        more.write("c\nd\n")
    assert file.lines == ["A", "BC", "D"]
    assert file.lines == ["A", "BC", "D"] and parsed == ["a", "bc", "d"]


def test_a_file_that_was_cut_is_read_again_and_one_out_of_reach_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    file = GrowingFile(lambda: path, str)
    path.write_text("one\ntwo\n")
    assert file.lines == ["one", "two"]
    path.write_text("one\n")
    assert file.lines == ["one"]
    path.unlink()
    assert file.lines == ["one"], "a host without power"
