"""Names that cross processes: workflow types and ids, signals, search attributes. Fixed: people and CI use them."""

from __future__ import annotations

from datetime import timedelta

TASK_QUEUE = "towline"

DEPLOYMENT = "Deployment"
SHARD = "Shard"
GROUP = "DeploymentGroup"
CATALOGUE = "Catalogue"
WORKER_CALL = "Ask"  # the name of its first release

# Signals and updates of a Deployment; each name is both.
PAUSE = "pause"
RESUME = "resume"
CANCEL = "cancel"
STATUS = "status"  # the query
TURN = "turn"  # the signal by which a group grants its turn
SHARD_PROGRESS = "shard_progress"  # the signal by which a shard reports
SHARD_PROGRESS_NOW = "progress"  # a shard's query: what it would report now
SHARD_ORDERS = "orders"  # the signal by which a deployment steers a shard

SEARCH_APPLICATION = "TowlineApplication"
SEARCH_GROUP = "TowlineGroup"
SEARCH_STATUS = "TowlineStatus"
SEARCH_REVISION = "TowlineRevision"
SEARCH_ATTRIBUTES = (SEARCH_APPLICATION, SEARCH_GROUP, SEARCH_STATUS, SEARCH_REVISION)

GROUP_BUSY = "GroupBusy"
"""The type of the error by which a group refuses a reservation."""

MEMO_BY = "towlineRequestedBy"
MEMO_INFO = "towlineInfo"
MEMO_IDS = "towlineIds"  # of application and group
MEMO_COUNTS = "towlineCounts"

TASK_TIMEOUT = timedelta(seconds=5)
"""Of every workflow: after a worker's SIGKILL an update waits this long, and 10 s by Temporal's default."""

DEPLOYMENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a deployment id looks like; checked here and on every host, since it becomes a path."""

ROLLBACK_OF = "rollback of "

CATALOGUE_SUMMARY = "what is declared"  # of its workflows, in Temporal's Web UI


AGENTS_TASK_QUEUE = f"{TASK_QUEUE}@agents"
"""Where the activities of instances that poll go: `towline api` works on it, since that is where they poll."""


def local_task_queue(host: str) -> str:
    """Where the activities of `local` instances go, so that another machine's worker does not deploy to itself."""
    return f"{TASK_QUEUE}@{host}"


def group_workflow_id(group_id: str) -> str:
    """The id of the workflow that holds a deployment group's turn."""
    return f"towline-group-{group_id}"


def rollback_label(deployment_id: str) -> str:
    """What a rollback shows in lists where others show their revision.

    >>> rollback_label("d-1")
    'rollback of d-1'
    """
    return f"{ROLLBACK_OF}{deployment_id}"


def shard_workflow_id(deployment_id: str, index: int) -> str:
    """The id of a deployment's shard, counted from 1.

    >>> shard_workflow_id("d-1", 3)
    'd-1/shard-003'
    """
    return f"{deployment_id}/shard-{index:03d}"


CATALOGUE_TABLES = ("towline-catalogue-apps", "towline-catalogue-instances")
"""The ids of the two Catalogue workflows. What must change together, in one atomic batch, is in one of them: an
application with its groups and configurations; an instance with the ARN that it was registered by; an invitation with
the key that it is traded for."""


_OF_INSTANCES = ("instance/", "registration/", "arn/", "agent/", "invite/", "access-key/")


def catalogue_table(key: str) -> str:
    """The id of the Catalogue workflow that keeps the record of this key.

    >>> catalogue_table("application/shop"), catalogue_table("instance/web-1")
    ('towline-catalogue-apps', 'towline-catalogue-instances')
    """
    return CATALOGUE_TABLES[key.startswith(_OF_INSTANCES)]
