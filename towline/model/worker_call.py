"""A question to a worker: one read-only activity, run by the small workflow `Ask` for a client that waits."""

from __future__ import annotations

from typing import Any

from towline.model.base import Message

ASKABLE = ("check_paths", "find_ec2_members", "ask_hosts", "preview")
"""The activities that a question may name; each only reads."""


class Question(Message):
    """Names an activity and its argument. `task_queue` empty: the workflow's own."""

    activity: str
    argument: Any = None
    task_queue: str = ""
    timeout_seconds: float = 60.0
    summary: str = ""
