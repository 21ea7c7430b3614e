"""Shows a deployment's state in Temporal: search attributes for lists, a page for the Web UI."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.state_view import search_attributes, view_of
    from towline.model.deployment.web_ui import summary


def publish(state: DeploymentState) -> None:
    """Brings what Temporal shows of a deployment up to date; only search attributes that changed are written."""
    wanted = search_attributes(state)
    changed = {name: value for name, value in wanted.items() if state.published.get(name) != value}
    if changed:
        state.published.update(changed)
        workflow.upsert_search_attributes(
            [SearchAttributeKey.for_keyword(name).value_set(value) for name, value in changed.items()]
        )
    workflow.set_current_details(summary(view_of(state)))
