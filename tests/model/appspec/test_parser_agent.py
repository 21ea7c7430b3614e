"""The parser against the recorded agent: it accepts and refuses the same, and each difference has its reason."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ROOT
from towline.model.appspec.parser import parse_appspec

CASES = sorted(ROOT.joinpath("tests/cases/agent").glob("*.json"))
AT_PARSING = {"AppSpecValidationException", "SyntaxError", "DisallowedClass", "BadAlias", "NoMethodError", "TypeError"}

# What the agent refuses and towline takes, by the agent's message and the AppSpec's text.
TAKEN = {
    "an unquoted octal mode is meant as written": (r"permissions mode \(\d+\)", r"mode: 0[0-7]{3}\b"),
    "a context needs no range": (r"undefined method `get_range'", r"context:\s*\{?type: \w"),
    "a byte order mark does no harm": (r"unsupported operating system \(\)", "^\ufeff"),
    "whether an object is a file is told by the bundle, not by the AppSpec": (
        r"includes an object .* with an invalid pattern|the except parameter for a pattern",
        r"object:",
    ),
}

# What the agent takes and towline refuses, by the AppSpec's text: it fails, or is not what was meant, on every host.
REFUSED = {
    "no home directory is put in place of ~": r"(?:destination|object): \"?~",
}


def _text(bundle: dict[str, Any]) -> str | None:
    text = bundle.get("appspec")
    if text is None and "appspec_base64" in bundle:
        text = base64.b64decode(bundle["appspec_base64"]).decode()
    if text is None or "raw_base64" in bundle:
        return None
    return str(text).replace("{dest}", "/dest").replace("{root}", "/root").replace("{archive}", "/root/g/d/archive")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_parser_agrees_with_the_recorded_agent(path: Path) -> None:
    for number, deployment in enumerate(json.loads(path.read_text())["deployments"]):
        text, expected = _text(deployment["bundle"]), deployment["expected"]
        if text is None:
            continue
        kind = (expected.get("exception") or "").split("::")[-1]
        refused = kind in AT_PARSING and expected["failed_event"] in ("BeforeInstall", "Install")
        taken = [
            why
            for why, (says, has) in TAKEN.items()
            if re.search(says, expected["message"] or "") and re.search(has, text)
        ]
        checked = parse_appspec(text)
        is_refused = (refused and not taken) or any(re.search(has, text) for has in REFUSED.values())
        assert (checked.value is None) == is_refused, (number, expected["message"], checked.problems)
        is_ours = not refused or bool(taken)
        assert parse_appspec(text, is_deployed=True).value or not is_ours, "the agent has deployed such a revision"
