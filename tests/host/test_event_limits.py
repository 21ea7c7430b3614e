"""The longest that the runner says is taken whole: the limits on events are for hosts that lie."""

from __future__ import annotations

import json

from tests.harness.host.local_host import LocalHost, plan_of, script, tar_of
from towline.host.runner.constants import LOG_TAIL
from towline.host.runner.script_log import ScriptLog
from towline.model.host.events import LOG_TEXT_CHARACTERS, PROSE_CHARACTERS, EventEnded
from towline.transports.event_lines import EVENT_LIMIT_BYTES, read_event

LONGEST_NAME = "n" * 250
LONGEST_PATH = "/".join([LONGEST_NAME] * 13) + "/run.sh"  # 3,500 bytes are the limit of members


def test_a_failure_with_the_longest_path_and_output_that_is_no_text(host: LocalHost) -> None:
    noise = (
        f"#!/bin/sh\nhead -c 100000 /dev/zero\nhead -c 100000 /dev/zero | tr '\\0' '\\377'\nexit 3  # {LONGEST_NAME}\n"
    )
    archive = tar_of({LONGEST_PATH: noise, "warns.sh": "#!/bin/sh\nsleep 1 &\n"})
    plan = plan_of(hooks={"BeforeInstall": [script("warns.sh")], "AfterInstall": [script(LONGEST_PATH)]})
    call = host.deploy("d-1", archive, plan)
    failed = next(event for event in call.events if event.get("status") == "Failed")
    understood = read_event(json.dumps(failed).encode())
    assert isinstance(understood, EventEnded)
    assert (understood.script_name, understood.message, understood.log) == (
        failed["script_name"],
        failed["message"],
        failed["log"],
    )
    assert understood.script_name == LONGEST_PATH
    texts = [event["text"] for event in call.events if event["kind"] == "log"]
    assert max(map(len, texts)) * 4 < LOG_TEXT_CHARACTERS
    assert max(len(json.dumps(event)) for event in call.events) * 4 < EVENT_LIMIT_BYTES


def test_the_tail_of_a_log_is_never_cut() -> None:
    assert LOG_TAIL * 4 < PROSE_CHARACTERS, ScriptLog.__doc__
