"""The only door to Temporal for people: start, watch, steer and find deployments.

A deployment is a workflow whose id is the deployment id. What is live is joined in `instance_status.py`, what
Temporal has forgotten is read from the store by `records.py`; errors of Temporal's client are translated here, once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import string
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, TerminatedError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from towline import errors
from towline.deployments.final_view import checked_view, view_from_outside, view_of_failure
from towline.deployments.listing import Listed, listed, the_only_one, visibility_query
from towline.model import names
from towline.model.bundle.revision import shortened
from towline.model.deployment.status import DeploymentStatus
from towline.model.deployment.web_ui import steering_page
from towline.model.messages import DeploymentView, DeployRequest, PauseAnswer, StopAnswer, StopRequest
from towline.settings import Settings, read_settings
from towline.temporal import asking, connect_temporal, is_absent, is_no_worker

MEMO_REQUEST = "towlineRequest"
QUERY_SECONDS = 5.0
LOOK_SECONDS = 0.5  # how often a watcher looks; the end itself is told by a long poll at once
LARGE_FLEET = 300
LOOK_SECONDS_LARGE = 2.0  # each look at a large fleet costs its workers many queries

T = TypeVar("T")


@dataclass(frozen=True)
class Started:
    """A deployment that runs, or has run, under this id; `attached`: it was there already, in the same words."""

    deployment_id: str
    attached: bool


@dataclass(frozen=True)
class Sight:
    """What a watcher sees at one moment: the view, if it could be had, else what stands in the way."""

    view: DeploymentView | None
    trouble: str = ""
    has_ended: bool = False


async def connect(settings: Settings | None = None) -> Deployments:
    """The door to the Temporal that the environment names. Raises `TemporalUnavailable`."""
    return Deployments(await connect_temporal(settings or read_settings()))


class Deployments:
    """Deployments as people and programs handle them."""

    def __init__(self, client: Client, *, task_queue: str = names.TASK_QUEUE) -> None:
        self.temporal = client
        self._task_queue = task_queue

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, request: DeployRequest, deployment_id: str) -> Started:
        """Starts a deployment, or attaches to the one of this id that was asked for in the same words.

        Raises:
            Conflict: the id is taken by a deployment in other words, or by another kind of workflow.
            TemporalUnavailable: Temporal does not answer.
        """
        try:
            with asking(f"starting {deployment_id}"):
                await self._start(request, deployment_id)
        except WorkflowAlreadyStartedError:
            await self._attach(request, deployment_id)
            return Started(deployment_id, attached=True)
        return Started(deployment_id, attached=False)

    async def _start(self, request: DeployRequest, deployment_id: str) -> None:
        options: dict[str, Any] = {
            "id": deployment_id,
            "task_queue": self._task_queue,
            "id_conflict_policy": WorkflowIDConflictPolicy.FAIL,
            "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
            "task_timeout": names.TASK_TIMEOUT,
            "memo": {MEMO_REQUEST: fingerprint(request), names.MEMO_BY: request.requested_by},
            "static_summary": _summary(request),
            "static_details": steering_page(deployment_id, request.description),
        }
        plain = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            await self.temporal.start_workflow(
                names.DEPLOYMENT, plain, search_attributes=_search_attributes(request), **options
            )
        except RPCError as error:
            # No worker has registered the search attributes yet: the first one will, and the workflow sets them.
            if error.status != RPCStatusCode.INVALID_ARGUMENT or "search attribute" not in error.message.lower():
                raise
            await self.temporal.start_workflow(names.DEPLOYMENT, plain, **options)

    async def _attach(self, request: DeployRequest, deployment_id: str) -> None:
        description = await self._describe(deployment_id)
        if description is None or description.workflow_type != names.DEPLOYMENT:
            raise errors.Conflict(
                f"the id {deployment_id} belongs to another workflow.", "Choose another --id, or leave it out."
            )
        if await self._fingerprint_of(description) != fingerprint(request):
            raise errors.Conflict(
                f"deployment {deployment_id} exists and was asked for in other words.",
                f"See it with: towline status {deployment_id}   or leave --id out.",
            )

    async def _fingerprint_of(self, description: WorkflowExecutionDescription) -> str:
        """Of the words that a deployment was asked for in; empty where they were no valid request."""
        told = await description.memo()
        if MEMO_REQUEST in told:
            return str(told[MEMO_REQUEST])
        request = await self.request_of(self.temporal.get_workflow_handle(description.id, run_id=description.run_id))
        return fingerprint(request) if request else ""

    async def request_of(self, handle: WorkflowHandle[Any, Any]) -> DeployRequest | None:
        """What a deployment was asked for, from its first event; None where that was no valid request."""
        with asking(f"reading how {handle.id} was started"):
            async for event in handle.fetch_history_events(page_size=1):
                payloads = event.workflow_execution_started_event_attributes.input.payloads
                values = await self.temporal.data_converter.decode(payloads) if payloads else []
                try:
                    return DeployRequest.model_validate(values[0]) if values else None
                except ValueError:
                    return None
        return None

    # ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def view(self, deployment_id: str) -> DeploymentView | None:
        """A deployment's view: of an open one by query, of a closed one from how it ended; None: Temporal knows none.

        Raises `TemporalUnavailable` when Temporal, or for an open one every worker, does not answer.
        """
        description = await self._describe(deployment_id)
        if description is None or description.workflow_type != names.DEPLOYMENT:
            return None
        if description.status == WorkflowExecutionStatus.RUNNING:
            try:
                return await self._query(deployment_id)
            except errors.NotFound:
                return None
        return await self._ended(deployment_id)

    async def watch(
        self, deployment_id: str, patience: float = 120.0, pace: float = LOOK_SECONDS, *, is_new: bool = False
    ) -> AsyncIterator[Sight]:
        """Looks at a deployment every `pace` seconds until it has ended (a large one more rarely).

        At one that was started just now (`is_new`) there is nothing to see yet: a question would hold its workers up.

        The last sight has the final view, the moment it is there.

        While no worker answers, sights say so and the watch goes on, for `patience` seconds at most: then, as when
        Temporal itself stays away for so long, `TemporalUnavailable` is raised. The rollout is not touched by that.
        """
        loop = asyncio.get_running_loop()
        ending = asyncio.ensure_future(self._ended(deployment_id))
        seen = loop.time()
        try:
            if is_new:
                await asyncio.wait({ending}, timeout=pace)
            while True:
                try:
                    sight = await self._look(ending, deployment_id)
                    seen = loop.time()
                except errors.TemporalUnavailable as error:
                    if loop.time() - seen > patience:
                        raise
                    sight = Sight(None, trouble=error.message)
                    if ending.done():  # it was the long poll that broke
                        ending = asyncio.ensure_future(self._ended(deployment_id))
                yield sight
                if sight.has_ended:
                    return
                is_large = sight.view is not None and sight.view.progress.total > LARGE_FLEET
                await asyncio.wait({ending}, timeout=max(pace, LOOK_SECONDS_LARGE) if is_large else pace)
        finally:
            ending.cancel()

    async def _look(self, ending: asyncio.Future[DeploymentView], deployment_id: str) -> Sight:
        """One look; gives the query up as soon as the end is told: a closing workflow would let it hang."""
        query = asyncio.ensure_future(self._query(deployment_id))
        query.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, whoever was first
        await asyncio.wait({query, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done() and query.exception() is None:
            return Sight(query.result())
        if ending.done() or isinstance(query.exception(), errors.NotFound):
            query.cancel()
            return Sight(await ending, has_ended=True)
        return Sight(query.result())  # raises

    async def run_id(self, deployment_id: str) -> str:
        """The first execution run id, by which hosts know the deployment; empty where Temporal has forgotten it."""
        description = await self._describe(deployment_id)
        return description.raw_description.workflow_execution_info.first_run_id if description else ""

    async def is_known(self, deployment_id: str) -> bool:
        """Whether Temporal knows a workflow of this id."""
        return await self._describe(deployment_id) is not None

    async def is_open(self, deployment_id: str) -> bool:
        """Whether its workflow still runs."""
        description = await self._describe(deployment_id)
        return description is not None and description.status == WorkflowExecutionStatus.RUNNING

    async def wait(self, deployment_id: str) -> DeploymentView:
        """The final view, when there is one."""
        return await self._ended(deployment_id)

    async def _query(self, deployment_id: str) -> DeploymentView:
        handle = self.temporal.get_workflow_handle(deployment_id)
        with asking(f"asking {deployment_id} for its status"):
            view: DeploymentView = await handle.query(
                names.STATUS, result_type=DeploymentView, rpc_timeout=timedelta(seconds=QUERY_SECONDS)
            )
        return view

    async def _ended(self, deployment_id: str) -> DeploymentView:
        """Waits for the end by long poll and reads the final view from how the workflow ended."""
        handle = self.temporal.get_workflow_handle(deployment_id, result_type=DeploymentView)
        with asking(f"waiting for {deployment_id}"):
            try:
                return checked_view(await handle.result())
            except WorkflowFailureError as error:
                now = await self._describe(deployment_id) if isinstance(error.cause, TerminatedError) else None
                if now and now.status == WorkflowExecutionStatus.RUNNING:  # reset: another run goes on
                    return await self._ended(deployment_id)
                if isinstance(error.cause, ApplicationError):
                    return view_of_failure(deployment_id, error.cause)
                return view_from_outside(deployment_id, error.cause, await self.request_of(handle))
            except WorkflowContinuedAsNewError:  # never ours; some other workflow of this id
                raise errors.NotFound(f"{deployment_id} is no deployment.", "See: towline list") from None

    # ── steer ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def pause(self, deployment_id: str) -> PauseAnswer | None:
        """Starts nothing new from now on; see `_steer`."""
        return await self._steer(deployment_id, names.PAUSE, None, PauseAnswer)

    async def resume(self, deployment_id: str) -> PauseAnswer | None:
        """Goes on; see `_steer`."""
        return await self._steer(deployment_id, names.RESUME, None, PauseAnswer)

    async def stop(self, deployment_id: str, request: StopRequest) -> StopAnswer | None:
        """Asks it to stop; see `_steer`."""
        argument = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        return await self._steer(deployment_id, names.CANCEL, argument, StopAnswer)

    async def _steer(self, deployment_id: str, word: str, argument: Any, answer: type[T]) -> T | None:
        """Sends an update and returns its answer; where no worker answers, leaves a signal that the next one will find.

        Returns:
            The answer, or None where only the signal could be left.

        Raises:
            Conflict: the deployment says why it cannot.
            NotFound: there is no such open deployment.
            TemporalUnavailable: Temporal itself does not answer.
        """
        handle: WorkflowHandle[Any, Any] = self.temporal.get_workflow_handle(deployment_id)
        arguments = [] if argument is None else [argument]
        with asking(f"{word} {deployment_id}"):
            try:
                async with asyncio.timeout(QUERY_SECONDS):
                    given: T = await handle.execute_update(word, args=arguments, result_type=answer)
                    return given
            except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
                await handle.signal(word, args=arguments)
                return None
            except RPCError as error:
                if not is_no_worker(error):
                    raise
                await handle.signal(word, args=arguments)
                return None

    # ── find ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def list(
        self,
        *,
        application: str = "",
        group: str = "",
        status: str = "",
        prefix: str = "",
        limit: int = 50,
        with_refused: bool = False,
    ) -> list[Listed]:
        """Deployments that Temporal knows, the newest first."""
        query = visibility_query(
            application=application, group=group, status=status, prefix=prefix, with_refused=with_refused
        )
        found: list[Listed] = []
        with asking("listing deployments"):
            async for execution in self.temporal.list_workflows(query, limit=limit):
                found.append(listed(execution, await execution.memo_value(names.MEMO_BY, "", type_hint=str)))
        return sorted(found, key=lambda one: one.start_time, reverse=True)

    async def resolve(self, text: str) -> str:
        """The id that stands for a person's words: an id, or a unique beginning of one.

        Raises `NotFound`, and `Conflict` for a beginning that several have.
        """
        description = await self._describe(text) if re.match(names.DEPLOYMENT_ID, text) else None
        if description and description.workflow_type == names.DEPLOYMENT:
            return text
        found = await self.list(prefix=text, with_refused=True) if text else []
        return the_only_one(text, [one.deployment_id for one in found])

    async def _describe(self, deployment_id: str) -> WorkflowExecutionDescription | None:
        with asking(f"looking for {deployment_id}"):
            try:
                return await self.temporal.get_workflow_handle(deployment_id).describe(
                    rpc_timeout=timedelta(seconds=QUERY_SECONDS)
                )
            except RPCError as error:
                if is_absent(error):
                    return None
                raise


# ── words and ids ────────────────────────────────────────────────────────────────────────────────────────────────


def new_deployment_id() -> str:
    """An id as CodeDeploy makes them: `d-` and nine of A to Z and 0 to 9."""
    return "d-" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9))


def fingerprint(request: DeployRequest) -> str:
    """Tells whether two requests use the same words: the SHA-256 of the request without what is as by default.

    Who asks, and from where, does not count: a CI job that is run again is another run.

    The next version, with one more optional key, tells the same.
    """
    plain = request.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"requested_by", "requested_from"}
    )
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _summary(request: DeployRequest) -> str:
    what = names.rollback_label(request.undo.deployment_id) if request.undo else "no revision"
    if request.revision:
        what = shortened(request.revision.label)
    return f"{request.application_name}/{request.deployment_group_name} · {what}"


def _search_attributes(request: DeployRequest) -> TypedSearchAttributes:
    values = {
        names.SEARCH_APPLICATION: request.application_name,
        names.SEARCH_GROUP: request.deployment_group_name,
        names.SEARCH_STATUS: DeploymentStatus.CREATED.value,
    }
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    return TypedSearchAttributes(pairs)
