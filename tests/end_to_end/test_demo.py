"""`make demo` to its end, two side by side, and ended early: what it tells is true, and nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.demo import processes
from examples.demo import site as site_module
from examples.demo.site import INSTANCES, DemoFailed
from examples.demo.watching import NOBODY, fewest_answers, strips
from tests.harness import ROOT
from towline.devserver import is_free

Start = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts demos whose folder lies below a given one; those that still run when a test fails are ended."""
    with contextlib.ExitStack() as stack:
        yield lambda temporary: stack.enter_context(demo(temporary))


@contextlib.contextmanager
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo as a newcomer with other settings in the environment would start it."""
    temporary.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "TEMPORAL_ADDRESS": "elsewhere:1", "TOWLINE_STORE": "s3://no"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


def assert_gone(temporary: Path, out: str) -> list[Path]:
    """Nothing runs and nothing listens any more; returns the files that stayed."""
    (folder,) = temporary.glob("towline-demo-*") if any(temporary.iterdir()) else (temporary / "none",)
    assert processes.of_folder(folder / "tmp") == []
    web_ui = int(re.search(r"Web UI +http://127\.0\.0\.1:(\d+)", out)[1])  # type: ignore[index]
    taken = [port for port in range(web_ui - 13, web_ui + 1) if not is_free("127.0.0.1", port)]
    assert taken == []
    return [file for file in temporary.rglob("*") if file.is_file()]


@pytest.mark.slow
def test_two_demos_side_by_side_end_well_and_leave_their_report(tmp_path: Path, start: Start) -> None:
    demos = [(tmp_path / name, start(tmp_path / name)) for name in ("one", "two")]
    for temporary, demo in demos:
        out, _ = demo.communicate(timeout=170)
        assert demo.returncode == 0, out
        assert out.count("All 12 answer: shop 1.0.") == 3
        assert "$ aws deploy create-deployment --application-name shop" in out
        first_to_fail = re.search(r"web-0[789]: ValidateService failed in scripts/validate\.sh", out)
        assert first_to_fail, out
        assert f"At every moment at least 9 of {len(INSTANCES)} answered" in out
        assert "docs/getting-started.md" in out
        (report,) = assert_gone(temporary, out)
        assert "/etc/shop/shop.json has no 'currency'" in out
        assert "has no &#39;currency&#39;" in report.read_text()
        assert f"Report   {report}" in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_ended_in_the_middle_of_a_rollout_nothing_is_left(tmp_path: Path, start: Start, number: signal.Signals) -> None:
    demo = start(tmp_path)
    out = ""
    assert demo.stdout
    for line in demo.stdout:
        out += line
        if re.search(r"web-\d\d  succeeded", line):  # the first of twelve
            demo.send_signal(number)
            break
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, out + rest
    assert "Ended early. Nothing is left running." in rest
    assert assert_gone(tmp_path, out + rest) == []


def test_what_goes_wrong_is_told_and_its_log_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(site_module, "_stand_up", lambda folder, *_: (folder / "up.log").write_text("no server here"))
    with pytest.raises(DemoFailed, match=r"it rained\nWhat server and worker said: .*up\.log"), site_module.site():
        raise DemoFailed("it rained")
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["up.log"]


def test_the_strips_show_outages_however_short() -> None:
    samples = (
        [{"web-01": "1.0", "web-02": "1.0"}] * 50
        + [{"web-01": "", "web-02": "2.0"}]
        + [{"web-01": "2.0", "web-02": ""}] * 49
    )
    drawn = strips(samples, columns=10)
    assert drawn["web-01"] == f"11111{NOBODY}2222"
    assert drawn["web-02"] == "11111" + NOBODY * 5
    assert fewest_answers(samples) == 1
