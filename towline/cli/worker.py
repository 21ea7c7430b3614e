"""`towline worker`: the same as `python worker.py`."""

from __future__ import annotations

import importlib

import click


@click.command()
def command() -> int:
    """Runs a worker until SIGTERM or Ctrl-C; then it drains, and leaves hooks running on the hosts.

    Temporal by its standard environment variables and profile file (TEMPORAL_ADDRESS, TEMPORAL_PROFILE, …), the store
    by TOWLINE_STORE. The same as `python worker.py`.
    """
    return int(importlib.import_module("worker").main())
