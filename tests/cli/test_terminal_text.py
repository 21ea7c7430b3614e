"""Names and messages of others steer no terminal: whatever prints, prints them as escapes."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from unittest.mock import patch

import click
import pytest
from rich.console import Console

import worker
from towline.cli import output, render
from towline.cli.progress_lines import ProgressLines
from towline.cli.screen import Screen
from towline.deployments.instance_status import Live
from towline.model.deployment.info import DeploymentInfo, ErrorInformation
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase, TargetStatus
from towline.model.messages.instance import Heartbeat, InstanceOutcome
from towline.model.messages.view import DeploymentView, Progress
from towline.model.visible import STEERING, for_terminal

HOSTILE = "web\x1b]0;title\x07\x1b[2J\x1b[8m\x9b31m\u202e\u2066\u200b\u061c\ufeff\u2028\r\x7f\x00-01"
STEERS = re.compile(f"[{STEERING}]")

VIEW = DeploymentView(
    info=DeploymentInfo(
        application_name=HOSTILE,
        deployment_group_name=HOSTILE,
        deployment_id=HOSTILE,
        status=DeploymentStatus.FAILED,
        description=HOSTILE,
        deployment_config_name=HOSTILE,
        start_time="2025-01-01T10:00:00+00:00",
        error_information=ErrorInformation(code=HOSTILE, message=HOSTILE),
    ),
    progress=Progress(
        phase=Phase.ENDED,
        text=HOSTILE,
        requested_by=HOSTILE,
        warnings=(HOSTILE,),
        not_restored=(HOSTILE,),
        report=HOSTILE,
        failures=(
            InstanceOutcome(
                instance=HOSTILE,
                outcome=Outcome.FAILED,
                was_touched=True,
                failed_event=HOSTILE,
                script=HOSTILE,
                message=HOSTILE,
                log_tail=f"{HOSTILE}\n{HOSTILE}",
            ),
        ),
    ),
)
LIVE = {
    "a": Live(HOSTILE, TargetStatus.FAILED, Outcome.FAILED, "", "", HOSTILE),
    "b": Live(
        HOSTILE,
        TargetStatus.IN_PROGRESS,
        heartbeat=Heartbeat(instance=HOSTILE, phase=HOSTILE, script=HOSTILE, note=HOSTILE),
    ),
}


def _status() -> None:
    output.result("\n".join(render.status_lines(VIEW, LIVE)))


def _list() -> None:
    output.result("\n".join(render.table([(HOSTILE, "Failed", HOSTILE)], ["ID", "STATUS", "NOTE"], 80, [2])))


def _progress() -> None:
    lines = ProgressLines()
    lines.show(VIEW, LIVE)
    lines.warn(HOSTILE)
    lines.trouble(HOSTILE)
    lines.close(VIEW, LIVE)


def _screen() -> None:
    drawn = io.StringIO()
    screen = Screen(Console(file=drawn, width=200, height=40, color_system=None))
    screen.show(VIEW, LIVE, VIEW)
    screen.warn(HOSTILE)
    screen.trouble(HOSTILE)
    screen.close(VIEW, LIVE)
    screen.stop()
    print(drawn.getvalue())


def _log() -> None:
    record = logging.LogRecord("towline", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    print(worker.LogFormatter(worker.LOG_FORMAT).format(record))


def _says_no(prompt: str) -> str:
    print(prompt)
    return "n"


PRINT: dict[str, Callable[[], object]] = {
    "a result": lambda: output.result(HOSTILE),
    "JSON": lambda: output.result_json({HOSTILE: [HOSTILE]}),
    "talk": lambda: output.info(HOSTILE),
    "an error": lambda: output.error(HOSTILE, HOSTILE),
    "a warning": lambda: output.warn(HOSTILE),
    "a question": lambda: output.confirm(HOSTILE),
    "status": _status,
    "list": _list,
    "progress": _progress,
    "the live table": _screen,
    "a worker's log": _log,
}


@pytest.mark.parametrize("what", PRINT)
def test_nothing_that_is_printed_steers_the_terminal(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    with patch("click.termui.visible_prompt_func", _says_no):
        PRINT[what]()
    printed = "".join(capfd.readouterr())
    assert not STEERS.search(printed), what
    assert "web\\x1b]0;title" in printed or "web\\u001b]0;title" in printed or "web]0;title" in printed


def test_json_is_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    output.result_json({"name": HOSTILE})
    assert json.loads(capsys.readouterr().out) == {"name": HOSTILE}


@pytest.mark.parametrize(
    "kept", ["café 😀 日本語\n\tline", click.style("Failed", fg="red", bold=True), click.style("x", dim=True)]
)
def test_text_and_our_own_colours_stay(kept: str) -> None:
    assert for_terminal(kept) == kept


def test_other_sequences_than_colours_do_not_stay() -> None:
    for sequence in ("\x1b[8m", "\x1b[5m", "\x1b[31;8m", "\x1b[?1049h", "\x1b[1A", "\x1b]52;c;AA\x07", "\x1bc"):
        assert "\x1b" not in for_terminal(sequence)


@pytest.mark.parametrize("value", ["", [], {}, {"a": [1, 1.5, None, True, "ä\n"], "b": {}}, "half a pair: \udcff"])
def test_json_is_printed_as_the_json_module_writes_it(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")  # as a command's own
    monkeypatch.setattr("sys.stdout", stdout)
    output.result_json(value)
    stdout.seek(0)
    printed = stdout.read()
    assert printed.rstrip("\n") == json.dumps(value, indent=2, ensure_ascii="half" in str(value))
    assert json.loads(printed) == value
