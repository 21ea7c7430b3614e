"""Every stored history replays on the workflows as they are now: a rollout that runs goes on under this version.

A failure here means that workers of this version would leave running deployments stuck with a failing task. Keep the
old way behind `workflow.patched(…)`; only histories of an unreleased version may be recorded again instead
(`tests/replay/record.py` says when and how).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.worker import Replayer

import worker
from tests.replay.record import HISTORIES, STORIES, load
from towline.temporal import DATA_CONVERTER
from workflows.sandbox import SANDBOX

pytestmark = pytest.mark.slow

PATHS = sorted(HISTORIES.rglob("*.json.gz"))


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    return Replayer(workflows=worker.WORKFLOWS, workflow_runner=SANDBOX, data_converter=DATA_CONVERTER)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(HISTORIES)).removesuffix(".json.gz"))
async def test_history_replays(replayer: Replayer, path: Path) -> None:
    result = await replayer.replay_workflow(load(path), raise_on_replay_failure=False)
    assert result.replay_failure is None


def test_every_story_and_every_workflow_is_there() -> None:
    """Or a workflow could be changed without any history that notices."""
    versions = {path.relative_to(HISTORIES).parts[0] for path in PATHS}
    for version in versions:
        assert {path.parent.name for path in PATHS if path.relative_to(HISTORIES).parts[0] == version} == set(STORIES)
    kinds = {load(path).events[0].workflow_execution_started_event_attributes.workflow_type.name for path in PATHS}
    assert kinds == {"Deployment", "Shard", "DeploymentGroup", "Catalogue", "Ask"}
