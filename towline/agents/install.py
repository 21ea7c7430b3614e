"""The shell script that installs towline's agent on a host: the same for all hosts, or made for one of them."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

TEMPLATE = Path(__file__).with_name("install.sh")


def install_script(agent: bytes, *, name: str = "", endpoint: str = "", token: str = "", ca: str = "") -> str:
    """The script for `sh -s`. What is empty comes with its options, and the token as TOWLINE_TOKEN."""
    values = {"NAME": shlex.quote(name), "ENDPOINT": shlex.quote(endpoint), "TOKEN": token, "CA": ca.strip()}
    values |= {"SHA256": hashlib.sha256(agent).hexdigest(), "AGENT": agent.decode().rstrip("\n")}
    text = TEMPLATE.read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
