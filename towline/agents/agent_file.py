"""towline's agent as one file, for hosts to install."""

from __future__ import annotations

import functools

import towline
from towline.host.bootstrap import BOOTSTRAP
from towline.host.join import agent_source


@functools.cache
def packaged_agent() -> bytes:
    """The agent that belongs to this version of towline."""
    return agent_source(towline.__version__, BOOTSTRAP).encode()
