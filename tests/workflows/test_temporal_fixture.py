"""The shared dev server itself: up, with the search attributes, and namespaces kept apart."""

import pytest
from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from tests.harness.temporal import TemporalServer, running_worker
from towline.model import names

pytestmark = pytest.mark.slow


@workflow.defn
class Echo:
    @workflow.run
    async def run(self, text: str) -> str:
        return text


async def test_a_new_namespace_runs_workflows_with_our_search_attributes(temporal: TemporalServer) -> None:
    client = await temporal.new_namespace()
    pair = SearchAttributePair(SearchAttributeKey.for_keyword(names.SEARCH_STATUS), "Created")
    async with running_worker(client, workflows=[Echo]) as worker:
        answer = await client.execute_workflow(
            Echo.run, "hi", id="echo", task_queue=worker.task_queue, search_attributes=TypedSearchAttributes([pair])
        )
    assert answer == "hi"
    assert client.namespace != temporal.client.namespace
