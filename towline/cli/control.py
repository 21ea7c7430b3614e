"""What `pause`, `resume`, `stop` and `release` have in common."""

from __future__ import annotations

import asyncio
from typing import Literal

from towline import errors
from towline.cli.door import Door, talk
from towline.cli.output import result, say
from towline.cli.render import joined
from towline.cli.stop_lines import advice_lines, still_running, stop_lines
from towline.deployments.group_history import read_queue, release_queue
from towline.model.deployment.exit_status import ExitStatus
from towline.model.messages import DeploymentView, GroupView, StopAnswer, StopRequest

CONFIRM_SECONDS = 10.0
"""How long `stop` waits to hear that nothing more is started; it is under way in any case."""


def steer(deployment: str, word: Literal["pause", "resume"]) -> int:
    """Pauses or resumes, and says what became of it."""

    async def run(door: Door) -> int:
        deployment_id = await door.find(deployment)
        act = door.deployments.pause if word == "pause" else door.deployments.resume
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
            say(f"Go on with: towline resume {deployment_id}")
        return 0

    return talk(run)


def stop(deployment: str, request: StopRequest) -> int:
    """Asks for the stop, waits a moment for the confirmation, and says what became of it."""

    async def run(door: Door) -> int:
        deployment_id = await door.find(deployment)
        try:
            answer = await door.deployments.stop(deployment_id, request)
        except errors.NotFound:
            raise _has_ended(deployment_id) from None
        if answer is None:
            return _noted(deployment_id, "stop")
        answer = await _confirmed(door, deployment_id, request, answer)
        if answer.rollback_deployment_id or answer.status == "Pending":
            result(f"{deployment_id}: {answer.status}. {answer.status_message}".rstrip())
        else:
            await _tell_what_still_runs(door, deployment_id, request)
        return 0

    return talk(run)


def release(text: str) -> int:
    """Releases the held queue of `APP/GROUP`, and says what goes on."""

    async def run(door: Door) -> int:
        client = door.deployments.temporal
        group = await door.group(text)
        held, after = await release_queue(client, group)
        if not held:
            result(f"{text} is not held.")
            return 0
        result(f"{text} is released. It was held: {held}.")
        waiting = [one for one in (after.holder, *after.waiting) if one] if after else []
        if waiting:
            say(f"Goes on: {waiting[0]}. Watch: towline status {waiting[0]} --watch")
        return 0

    return talk(run)


async def _tell_what_still_runs(door: Door, deployment_id: str, request: StopRequest) -> None:
    """Prints what a stop, now that it is confirmed, leaves at work, and what begins next."""
    view = await door.view(deployment_id)
    has_ended = view.progress.phase == "ended"
    live = {} if has_ended else await door.live(deployment_id, view, door.fleet(deployment_id))
    running = still_running(list(live.values()))
    result(joined(stop_lines(view, running)))
    for line in advice_lines(view, running, await _queue_of(door, view), ends_hooks=request.now):
        say(line)


async def _queue_of(door: Door, view: DeploymentView) -> GroupView | None:
    """The group's queue; None where it cannot be read, which must not fail a stop that was honoured."""
    name = f"{view.info.get('applicationName', '')}/{view.info.get('deploymentGroupName', '')}"
    try:
        return await read_queue(door.deployments.temporal, await door.group(name))
    except (errors.NotFound, errors.TemporalUnavailable):
        return None


async def _confirmed(door: Door, deployment_id: str, request: StopRequest, answer: StopAnswer) -> StopAnswer:
    """Asks again until the answer is final; asking twice is asking once."""
    loop = asyncio.get_running_loop()
    until = loop.time() + CONFIRM_SECONDS
    pause = 0.03  # shards confirm within some hundredths of a second where their worker lives
    while answer.status == "Pending" and not answer.rollback_deployment_id and loop.time() < until:
        await asyncio.sleep(pause)
        pause = min(0.25, pause * 2)
        try:
            answer = await door.deployments.stop(deployment_id, request) or answer
        except (errors.NotFound, errors.Conflict):  # it has ended meanwhile
            return StopAnswer(status="Succeeded")
    return answer


def _noted(deployment_id: str, word: str) -> int:
    """No worker answered; the request lies in Temporal, and the next worker finds it first."""
    say(f"No worker answers. The {word} is noted in Temporal and is honoured as soon as a worker is back.")
    say(f"Start one: towline worker   Look: towline status {deployment_id}")
    return int(ExitStatus.OUT_OF_SIGHT)


def _has_ended(deployment_id: str) -> errors.TowlineError:
    return errors.Conflict(f"{deployment_id} has ended already.", f"See: towline status {deployment_id}")
