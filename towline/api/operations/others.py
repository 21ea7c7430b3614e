"""Operations of other platforms and services: what a server deployment has no use for, answered as CodeDeploy does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towline.api.errors import ApiError
from towline.api.operations.deployments import authorize_deployment, info_of
from towline.api.service import Context, Handler, already_completed

WAITS = ("READY_WAIT", "TERMINATION_WAIT")


async def continue_deployment(context: Context) -> Mapping[str, Any]:
    """ContinueDeployment: only a blue/green deployment waits to be continued."""
    if context.input.get("deploymentWaitType", "READY_WAIT") not in WAITS:
        raise ApiError("InvalidDeploymentWaitTypeException", f"The wait type is one of {', '.join(WAITS)}.")
    raise await _only_for(context, "a blue/green deployment")


async def skip_wait_time(context: Context) -> Mapping[str, Any]:
    """SkipWaitTimeForInstanceTermination, deprecated: ContinueDeployment with TERMINATION_WAIT."""
    raise await _only_for(context, "a blue/green deployment")


async def put_hook_status(context: Context) -> Mapping[str, Any]:
    """PutLifecycleEventHookExecutionStatus: hooks of Lambda and ECS report so."""
    raise await _only_for(context, "a deployment to Lambda or ECS", whatever_its_status=True)


async def list_token_names(context: Context) -> Mapping[str, Any]:
    """ListGitHubAccountTokenNames: towline keeps no tokens, groups name where each is (`gitHubToken`)."""
    context.authorize("*")
    return {"tokenNameList": []}


async def delete_token(context: Context) -> Mapping[str, Any]:
    """DeleteGitHubAccountToken: there is none, see ListGitHubAccountTokenNames."""
    context.authorize("*")
    name = context.input.get("tokenName")
    if not name:
        raise ApiError("GitHubAccountTokenNameRequiredException", "The token name is required.")
    raise ApiError("GitHubAccountTokenDoesNotExistException", f"No GitHub account token has the name {name}.")


async def delete_by_external_id(context: Context) -> Mapping[str, Any]:
    """DeleteResourcesByExternalId: CloudFormation's; nothing here was made by it."""
    context.authorize("*")
    return {}


async def _only_for(context: Context, what: str, *, whatever_its_status: bool = False) -> ApiError:
    """The error of an operation that this deployment's type does not have."""
    deployment_id = context.input.get("deploymentId")
    if not deployment_id:
        raise ApiError("DeploymentIdRequiredException", "The deployment ID is required.")
    info = await info_of(context, deployment_id)
    authorize_deployment(context, info)
    if info.status.is_final and not whatever_its_status:
        return already_completed(deployment_id)
    text = f"{context.call.operation} is only valid for {what}; {deployment_id} is an in-place deployment."
    return ApiError("UnsupportedActionForDeploymentTypeException", text)


HANDLERS: Mapping[str, Handler] = {
    "ContinueDeployment": continue_deployment,
    "SkipWaitTimeForInstanceTermination": skip_wait_time,
    "PutLifecycleEventHookExecutionStatus": put_hook_status,
    "ListGitHubAccountTokenNames": list_token_names,
    "DeleteGitHubAccountToken": delete_token,
    "DeleteResourcesByExternalId": delete_by_external_id,
}
