"""`ask_hosts`: one read-only question to many hosts: what runs there, are they ready, what would an order do, the log.

For a host that does not answer, the answer is its fault.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from temporalio import activity

from activities.errors import translated
from activities.faults import fault_of
from activities.snapshot import Frozen
from towline.aside import aside
from towline.errors import HostRefused, InvalidRequest, TowlineError, Unreachable
from towline.masking import mask
from towline.model.bundle.listing import members_in
from towline.model.fleet.instance import Target
from towline.model.host.events import ScriptLog
from towline.model.host.order import (
    AskHosts,
    HostAnswer,
    HostAnswers,
    HostOrder,
    PlanPart,
    logs_order,
    preview_order,
    question_order,
)
from towline.store import Store
from towline.transports import TransportPool, ask, open_transport

AT_ONCE = 64


class HostActivities:
    """Asks hosts; starts and changes nothing there."""

    def __init__(self, store: Store, pool: TransportPool, *, host: str = "") -> None:
        """`host`: this machine's name, whose local instances are asked here; empty: as the system says."""
        self._store = store
        self._frozen = Frozen(store)
        self._pool = pool
        self._host = host or socket.gethostname()

    @activity.defn
    async def ask_hosts(self, question: AskHosts) -> HostAnswers:
        """Returns the answers of all hosts, in order. Raises only if the question itself is invalid."""
        with translated():
            targets = await self._targets(question)
            plan, files = await self._of_plan(question) if question.do == "plan" else (None, None)
            limit = asyncio.Semaphore(AT_ONCE)

            async def answer(target: Target) -> HostAnswer:
                async with limit:
                    return await self._ask(target, _order(question, target, plan, files), question.timeout_seconds)

            return HostAnswers(answers=tuple(await asyncio.gather(*(answer(target) for target in targets))))

    async def _targets(self, question: AskHosts) -> list[Target]:
        targets = list(question.targets)
        run = question.order.run_id if question.order else ""
        for page in question.pages:
            targets += (await self._frozen.page(page, run)).values()
        wanted = question.instances
        return [target for target in targets if wanted is None or target.name in wanted]

    async def _of_plan(self, question: AskHosts) -> tuple[PlanPart | None, list[dict[str, Any]] | None]:
        if question.order is not None and question.order.undo is not None:
            return None, None  # the hosts know from their journals
        if question.order is None or question.order.revision is None:
            raise InvalidRequest("what a deployment would do is asked with its order and revision")
        if not question.files_key:
            return await self._frozen.plan(question.order), None
        files = await asyncio.to_thread(self._files, question.files_key)
        return await self._frozen.plan(question.order), files

    def _files(self, key: str) -> list[dict[str, Any]]:
        """Returns the archive's members as hosts need them; blocks."""
        fields = ("path", "type", "sha256", "target")
        members = members_in(self._store.get(key))
        return [{name: member[name] for name in fields if member.get(name)} for member in members]

    async def _ask(self, target: Target, order: HostOrder, seconds: float) -> HostAnswer:
        try:
            self._check_here(target)
            async with asyncio.timeout(seconds):
                answer = await ask(open_transport(target, self._pool), order)
                if isinstance(answer, ScriptLog):  # what looks like a secret must not enter Temporal
                    answer = ScriptLog(text=await aside(mask, answer.text))
                return HostAnswer(instance=target.name, answer=answer)
        except TimeoutError:
            late = Unreachable(f"{target.name} has not answered within {seconds:g} s")
            return HostAnswer(instance=target.name, fault=fault_of(late))
        except TowlineError as error:
            return HostAnswer(instance=target.name, fault=fault_of(error))

    def _check_here(self, target: Target) -> None:
        if target.local and target.local.host not in ("", self._host):
            raise HostRefused(
                f"{target.name} is local to {target.local.host}, this worker runs on {self._host}",
                f"Start a worker on {target.local.host}.",
                code="LocalElsewhere",
            )


def _order(question: AskHosts, target: Target, plan: PlanPart | None, files: list[dict[str, Any]] | None) -> HostOrder:
    """The question as one host's order."""
    order = question.order
    match question.do:
        case "plan":
            assert order and (plan or order.undo)
            return preview_order(order, target, plan, files)
        case "logs":
            if order is None:
                raise InvalidRequest("a log is asked for with its deployment's order")
            return logs_order(order, target)
        case "inventory" | "check" as do:
            return question_order(do, target, order.revision if order else None)
