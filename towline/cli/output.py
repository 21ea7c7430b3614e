"""Where output goes: results to stdout, messages to stderr. All that a command prints goes through here or `screen`."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, TextIO

import click

from towline.model.visible import STEERING, for_terminal

_STEERING = re.compile(f"[{STEERING}]")  # in JSON only within strings


def result(text: str) -> None:
    """A result, to stdout."""
    click.echo(for_terminal(text))


def result_json(value: Any) -> None:
    """A result as JSON, to stdout."""
    from pydantic_core import to_json

    try:
        text = to_json(value, indent=2, fallback=str).decode()  # 0.1 s for 5,000 instances, where `json` takes 0.7
    except ValueError:  # half of a surrogate pair: the stream escapes it
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def info(text: str) -> None:
    """A message, to stderr."""
    click.echo(for_terminal(text), err=True)


def confirm(question: str) -> bool:
    """Whether a person says yes; the question goes to stderr."""
    return click.confirm(for_terminal(question), default=False, err=True)


def error(message: str, hint: str = "") -> None:
    """An error, to stderr: one line, red where colour is on, the next step behind it."""
    line = click.style(message, fg="red") if has_colour(sys.stderr) else message
    click.echo(for_terminal(f"{line}  {hint}" if hint else line), err=True, color=has_colour(sys.stderr))


def warn(message: str) -> None:
    """A warning, to stderr."""
    line = click.style(message, fg="yellow") if has_colour(sys.stderr) else message
    click.echo(for_terminal(line), err=True, color=has_colour(sys.stderr))


_printed: set[str] = set()


def is_news(text: str) -> bool:
    """Whether this command has not printed this yet; from now on it has."""
    is_new = text not in _printed
    _printed.add(text)
    return is_new


def has_colour(stream: TextIO) -> bool:
    """Whether colour is wanted there: a terminal, and NO_COLOR is not set."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
