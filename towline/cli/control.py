"""The work of `towline pause`, `resume`, `stop` and `release`."""

from __future__ import annotations

from typing import Literal

from towline import errors
from towline.cli.event_loop import with_client
from towline.cli.output import info, result
from towline.cli.render import joined
from towline.cli.stop_lines import advice_lines, still_running, stop_lines
from towline.deployments.service import DeploymentService
from towline.model.deployment.exit_status import ExitStatus
from towline.model.deployment.status import Phase
from towline.model.messages.deploy import StopRequest
from towline.model.messages.group import GroupView
from towline.model.messages.view import DeploymentView

CONFIRM_SECONDS = 10.0
"""How long `stop` waits to hear that nothing more is started; it is under way in any case."""


def pause(deployment: str) -> int:
    """Pauses, and prints the answer."""
    return _steer(deployment, "pause")


def resume(deployment: str) -> int:
    """Resumes, and prints the answer."""
    return _steer(deployment, "resume")


def _steer(deployment: str, word: Literal["pause", "resume"]) -> int:
    """Pauses or resumes, and says what became of it."""

    async def run(service: DeploymentService) -> int:
        deployment_id = await service.find(deployment)
        act = service.pause if word == "pause" else service.resume
        try:
            answer = await act(deployment_id)
        except errors.NotFound:
            raise _has_ended(deployment_id) from None
        if answer is None:
            return _noted(deployment_id, word)
        # "Paused. paused; 2 waiting" would say it twice.
        word_twice = answer.status_message.startswith(answer.status.lower())
        result(f"{deployment_id}: " + ("" if word_twice else f"{answer.status}. ") + answer.status_message)
        if answer.status != "Running":
            info(f"Go on with: towline resume {deployment_id}")
        return 0

    return with_client(run)


def stop(deployment: str, request: StopRequest) -> int:
    """Asks for the stop, waits a moment for the confirmation, and says what became of it."""

    async def run(service: DeploymentService) -> int:
        deployment_id = await service.find(deployment)
        try:
            answer = await service.stop(deployment_id, request, confirm_seconds=CONFIRM_SECONDS)
        except errors.NotFound:
            raise _has_ended(deployment_id) from None
        if answer is None:
            return _noted(deployment_id, "stop")
        if answer.rollback_deployment_id or answer.status == "Pending":
            result(f"{deployment_id}: {answer.status}. {answer.status_message}".rstrip())
        else:
            await _tell_what_still_runs(service, deployment_id, request)
        return 0

    return with_client(run)


def release(text: str) -> int:
    """Releases the held queue of `APP/GROUP`, and says what goes on."""

    async def run(service: DeploymentService) -> int:
        held, after = await service.release(await service.group(text))
        if not held:
            result(f"{text} is not held.")
            return 0
        result(f"{text} is released. It was held: {held}.")
        waiting = [one for one in (after.active, *after.waiting) if one] if after else []
        if waiting:
            info(f"Goes on: {waiting[0]}. Watch: towline status {waiting[0]} --watch")
        return 0

    return with_client(run)


async def _tell_what_still_runs(service: DeploymentService, deployment_id: str, request: StopRequest) -> None:
    """Prints what a stop, now that it is confirmed, leaves at work, and what begins next."""
    view = await service.view(deployment_id)
    has_ended = view.progress.phase is Phase.ENDED
    live = {} if has_ended else await service.live(deployment_id, view, service.fleet(deployment_id))
    running = still_running(list(live.values()))
    result(joined(stop_lines(view, running)))
    for line in advice_lines(view, running, await _queue_of(service, view), ends_hooks=request.now):
        info(line)


async def _queue_of(service: DeploymentService, view: DeploymentView) -> GroupView | None:
    """The group's queue; None where it cannot be read, which must not fail a stop that was honoured."""
    try:
        return await service.queue(await service.group(view.info.full_name))
    except (errors.NotFound, errors.TemporalUnavailable):
        return None


def _noted(deployment_id: str, word: str) -> int:
    """No worker answered; the request lies in Temporal, and the next worker finds it first."""
    info(f"No worker answers. The {word} is noted in Temporal and is honoured as soon as a worker is back.")
    info(f"Start one: towline worker   Look: towline status {deployment_id}")
    return int(ExitStatus.OUT_OF_SIGHT)


def _has_ended(deployment_id: str) -> errors.TowlineError:
    return errors.Conflict(f"{deployment_id} has ended already.", f"See: towline status {deployment_id}")
