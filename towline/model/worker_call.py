"""A worker call: one read-only activity that a worker runs for a client that waits (workflows/worker_call.py)."""

from __future__ import annotations

from typing import Any

from towline.model.base import Message

ALLOWED_ACTIVITIES = ("check_paths", "find_ec2_members", "ask_hosts", "preview")
"""The activities that a client may call; each only reads."""


class WorkerCall(Message):
    """Names an activity and its argument. `task_queue` empty: the workflow's own."""

    activity: str
    argument: Any = None
    task_queue: str = ""
    timeout_seconds: float = 60.0
    summary: str = ""
