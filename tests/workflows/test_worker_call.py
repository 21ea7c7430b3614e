"""A worker call: a client has a worker run an activity that only reads."""

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.harness.temporal import TemporalServer, running_worker
from towline.model import names
from towline.model.worker_call import WorkerCall
from workflows.worker_call import CallWorker

pytestmark = pytest.mark.slow


@activity.defn(name="check_paths")
async def check_paths(paths: list[str]) -> dict[str, bool]:
    return dict.fromkeys(paths, True)


async def test_the_answer_is_the_activitys_value(temporal: TemporalServer) -> None:
    async with running_worker(temporal.client, workflows=[CallWorker], activities=[check_paths]) as worker:
        answer = await temporal.client.execute_workflow(
            names.WORKER_CALL,
            WorkerCall(activity="check_paths", argument=["/a"]),
            id="ask-1",
            task_queue=worker.task_queue,
        )
    assert answer == {"/a": True}


async def test_only_activities_that_read_may_be_called(temporal: TemporalServer) -> None:
    async with running_worker(temporal.client, workflows=[CallWorker]) as worker:
        with pytest.raises(WorkflowFailureError) as failure:
            await temporal.client.execute_workflow(
                names.WORKER_CALL, WorkerCall(activity="deploy_instance"), id="ask-2", task_queue=worker.task_queue
            )
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "InvalidRequest"
