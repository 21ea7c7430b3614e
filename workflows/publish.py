"""Shows a deployment's state in Temporal: search attributes and memo for lists and reads, a page for the Web UI."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.memo import memo_of
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.state_view import search_attributes, view_of
    from towline.model.deployment.web_ui import summary
    from towline.model.messages.view import DeploymentView


def publish(state: DeploymentState) -> None:
    """Brings what Temporal shows of a deployment up to date; only what changed is written."""
    view = view_of(state)
    _publish_search_attributes(state)
    _publish_memo(state, view)
    workflow.set_current_details(summary(view))


def _publish_search_attributes(state: DeploymentState) -> None:
    wanted = search_attributes(state)
    changed = {name: value for name, value in wanted.items() if state.published.get(name) != value}
    if changed:
        state.published.update(changed)
        workflow.upsert_search_attributes(
            [SearchAttributeKey.for_keyword(name).value_set(value) for name, value in changed.items()]
        )


def _publish_memo(state: DeploymentState, view: DeploymentView) -> None:
    wanted = memo_of(view, state.rollout.open_shards)
    changed = {name: value for name, value in wanted.items() if state.memo.get(name) != value}
    if changed:
        state.memo.update(changed)
        workflow.upsert_memo(changed)
