"""Check: reads the request, the group and the revision. What is wrong is found before anything is touched."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow

from workflows.options import READ
from workflows.publish import publish
from workflows.temporal_helpers import call
from workflows.waits import Ended, attempt

with workflow.unsafe.imports_passed_through():
    from towline.errors import InvalidInput, InvalidRequest
    from towline.model.bundle.revision import ResolvedRevision, RevisionLocation, shortened
    from towline.model.deployment.activity_inputs import group_question, revision_question
    from towline.model.deployment.ending import failure
    from towline.model.deployment.request import read_request
    from towline.model.deployment.requirements import check_is_built
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import ErrorCode
    from towline.model.group.group import DeploymentGroup
    from workflows import calls


def parse_request(state: DeploymentState, raw: Any) -> None:
    """Reads the workflow's input; a wrong one ends the deployment with each problem by its key."""
    try:
        state.request_if_valid = read_request(raw, state.deployment_id)
    except InvalidRequest as error:
        raise Ended(failure(ErrorCode.INVALID_REQUEST, error.message)) from None
    publish(state)


async def check(state: DeploymentState) -> None:
    """Reads group and revision, side by side where that is possible."""
    location = state.request.revision
    early: asyncio.Task[ResolvedRevision] | None = None
    if location and not location.git_hub_location:  # which is read with a token and an address of the group's
        early = asyncio.create_task(_read_revision(state, location))
    try:
        state.take_group(await attempt(state, call(calls.read_group, group_question(state.request), READ)))
        _check_is_built(state)
    except Ended:
        if early:
            early.cancel()
            await asyncio.gather(early, return_exceptions=True)
        raise
    if location:
        state.take_revision(await (early or _read_revision(state, location, state.group)))
        publish(state)


def _check_is_built(state: DeploymentState) -> None:
    try:
        check_is_built(state.request, state.group)
    except InvalidInput as error:
        raise Ended(failure(error.code, str(error))) from None


async def _read_revision(
    state: DeploymentState, location: RevisionLocation, group: DeploymentGroup | None = None
) -> ResolvedRevision:
    question = revision_question(location, state.deployment_id, group, strict=state.request.strict)
    read = call(calls.read_revision, question, READ, summary=shortened(location.label))
    return await attempt(state, read, of_revision=True)
