"""Timeouts and retries of activities, by name, each once. Times are control time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

HEARTBEAT_TIMEOUT = timedelta(seconds=5)
"""Of what a deployment waits for; it beats every third of this. A killed worker's work goes on that much later."""


@dataclass(frozen=True)
class Options:
    """How an activity is tried: each try, all tries, and how fast again."""

    start_to_close: timedelta
    retry: RetryPolicy
    schedule_to_close: timedelta | None = None
    heartbeat: timedelta | None = None


# Reads of what was declared or stored, before anything is touched: an error of the input's is not retryable by its
# type, a fault of ours is tried again for a quarter of a minute and then ends the deployment with its name.
READ = Options(
    start_to_close=timedelta(minutes=10),
    heartbeat=HEARTBEAT_TIMEOUT,
    retry=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),
)

# What keeps the group's books: tried for ever, since a turn that is not given back would hold everybody up.
TURN = Options(
    start_to_close=timedelta(seconds=30),
    heartbeat=HEARTBEAT_TIMEOUT,
    retry=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)),
)

# The record: the store may be gone for a while. After an hour the deployment ends without it and says so.
RECORD = Options(
    start_to_close=timedelta(minutes=10),
    heartbeat=HEARTBEAT_TIMEOUT,
    schedule_to_close=timedelta(hours=1),
    retry=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)),
)

# Work on a host: tried for ever, since a further try only re-attaches to the runner that is at work there.
DEPLOY_INSTANCE = Options(
    start_to_close=timedelta(days=3),
    heartbeat=HEARTBEAT_TIMEOUT,
    retry=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
    ),
)

# Asking hosts to end what runs: a bounded try; a host that cannot be reached ends by its own silence limit.
HALT = Options(
    start_to_close=timedelta(minutes=2),
    heartbeat=timedelta(seconds=15),
    retry=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),
)

# Watching a group's active deployment: as long as it is active.
WATCH = Options(
    start_to_close=timedelta(days=7),
    heartbeat=timedelta(seconds=10),
    retry=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)),
)
