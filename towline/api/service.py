"""CodeDeploy's operations over towline's services: checks members and permissions, and calls the operation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from towline import errors
from towline.api.app import Call
from towline.api.arns import Arns
from towline.api.errors import ApiError, access_denied, not_supported
from towline.api.policy import Policies
from towline.api.rules import check_members
from towline.api.service_model import operations
from towline.catalogue.repository import Catalogue
from towline.catalogue.revisions import Revisions
from towline.deployments.service import DeploymentService
from towline.model.deployment.report import DeploymentReport
from towline.singleflight import KeptReads

ACCOUNT = "000000000000"
"""towline has no accounts; ARNs need one."""


REPORTS_KEPT = 100
REPORT_SECONDS = 1.0
"""How old an answer about a deployment's targets may be."""


class Backend:
    """What operations work on: towline's services, and what this process keeps between calls."""

    def __init__(self, deployments: DeploymentService) -> None:
        self.deployments = deployments
        self.reports: KeptReads[DeploymentReport] = KeptReads(REPORTS_KEPT, REPORT_SECONDS)
        self._revisions: Revisions | None = None

    async def revisions(self) -> Revisions:
        """The registered revisions. Raises NotFound, OurFault while the store is out of reach."""
        if self._revisions is None:
            self._revisions = Revisions(await self.deployments.storage.store())
        return self._revisions


@dataclass(frozen=True)
class Context:
    """One call, with what an operation needs to answer it."""

    call: Call
    backend: Backend
    arns: Arns
    allows: Callable[[str, str], bool]

    @property
    def deployments(self) -> DeploymentService:
        """Deployments, as the command line has them."""
        return self.backend.deployments

    @property
    def catalogue(self) -> Catalogue:
        """What exists."""
        return self.deployments.catalogue

    @property
    def input(self) -> Mapping[str, Any]:
        """The input by the model's names."""
        return self.call.input

    def authorize(self, *resources: str, action: str = "") -> None:
        """Raises ApiError (AccessDeniedException) unless the caller may do this on each of the resources."""
        action = f"codedeploy:{action or self.call.operation}"
        for resource in resources:
            if not self.allows(action, resource):
                user = self.arns.user(self.call.caller.key.name)
                raise access_denied(
                    f"User: {user} is not authorized to perform: {action} on resource: {resource} because no "
                    f"identity-based policy allows the {action} action"
                )


Handler = Callable[[Context], Awaitable[Mapping[str, Any]]]


class CodeDeploy:
    """Answers calls. `policies` None: every caller may do everything."""

    def __init__(self, backend: Backend, policies: Policies | None, handlers: Mapping[str, Handler]) -> None:
        self._backend, self._policies, self._handlers = backend, policies, handlers

    async def call(self, call: Call) -> Mapping[str, Any]:
        """See towline.api.app.Service."""
        operation = operations()[call.operation]
        handler = self._handlers.get(call.operation)
        if handler is None:
            raise not_supported(call.operation)
        check_members(call.input, operation.required, operation.errors)
        name = call.caller.key.name
        arns = Arns(call.caller.region or "us-east-1", ACCOUNT)
        policies = self._policies

        def allows(action: str, resource: str) -> bool:
            return policies is None or policies.allows(name, action, resource)

        return await handler(Context(call, self._backend, arns, allows))

    async def is_ready(self) -> str:
        """See towline.api.app.Service: whether Temporal and a worker answer."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(3):
                await self._backend.deployments.catalogue.read(["setting/store"])
        except (errors.TowlineError, TimeoutError) as error:
            return f"not ready after {time.monotonic() - started:.1f} s: {error or 'no answer'}"
        return ""


def no_such_application(name: str) -> ApiError:
    """The error of an application that does not exist."""
    return ApiError("ApplicationDoesNotExistException", f"No application found for name: {name}")


def no_such_group(name: str) -> ApiError:
    """The error of a deployment group that does not exist."""
    return ApiError("DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {name}")


def no_such_deployment(deployment_id: str) -> ApiError:
    """The error of a deployment that does not exist."""
    return ApiError("DeploymentDoesNotExistException", f"The deployment {deployment_id} could not be found")


def already_completed(deployment_id: str) -> ApiError:
    """The error of a deployment that has ended."""
    return ApiError("DeploymentAlreadyCompletedException", f"The deployment {deployment_id} is already completed")
