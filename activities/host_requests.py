"""Answers what a host may request during a run: an archive, a fresh URL, another archive's plan, an earlier revision.

Each kind of request is a row of `HostRequests._answer`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from activities.snapshot import ArchiveSource
from towline.aside import aside
from towline.errors import NotFound, TowlineError
from towline.model.appspec.parser import parse_appspec
from towline.model.host.events import Need
from towline.model.host.order import PlanPart, plan_part, revision_part
from towline.model.messages.deploy import DeploymentOrder
from towline.transports import Reply

EarlierRevision = Callable[[DeploymentOrder, str], Awaitable[tuple[DeploymentOrder, PlanPart]]]
"""`Frozen.earlier`: an earlier deployment of an order's group, and its plan."""


@dataclass(frozen=True)
class HostReply:
    """A line of JSON, and the bytes that follow it."""

    reply: Reply
    body: Path | None = None

    @classmethod
    def none(cls, code: str, message: str) -> HostReply:
        """Returns the reply for what is not available."""
        return cls({"reply": "none", "code": code, "message": message})


class HostRequests:
    """Answers the requests of one instance's runner."""

    def __init__(self, order: DeploymentOrder, archives: ArchiveSource, earlier: EarlierRevision) -> None:
        """`order` has the revision that the deployment brings, or of a rollback none; that may be one of `earlier`."""
        self._order = order
        self._revision = order.revision
        self._archives = archives
        self._earlier = earlier
        self._answer: dict[str, Callable[[Need], Awaitable[HostReply]]] = {
            "archive": self._archive,
            "url": self._fresh_url,
            "plan": self._plan,
            "revision": self._revision_again,
        }

    def has_use_for(self, need: Need) -> bool:
        """Returns whether a host of this deployment could need this: a rollback sends an archive only on request."""
        if need.what == "revision":
            return self._order.undo is not None
        return need.what != "archive" or self._revision is not None

    async def answer(self, need: Need) -> HostReply:
        """Returns the reply; raises towline's errors where the fault is the control plane's."""
        if need.what not in self._answer:
            return HostReply.none("UnknownNeed", f"{need.what} is unknown")
        return await self._answer[need.what](need)

    async def url(self, *, anew: bool = False) -> str | None:
        """Returns a presigned URL of the archive, or None."""
        return await self._archives.url(self._revision, anew=anew) if self._revision else None

    async def _archive(self, need: Need) -> HostReply:
        assert self._revision, "see has_use_for"
        path = await self._archives.file(self._revision)
        return HostReply({"reply": "archive", "size": path.stat().st_size}, path)

    async def _fresh_url(self, need: Need) -> HostReply:
        try:
            url = await self.url(anew=True)
        except TowlineError:  # the runner is at work: it goes on with the archive itself
            url = None
        return HostReply({"reply": "url", "url": url})

    async def _revision_again(self, need: Need) -> HostReply:
        """The revision that a host has to restore and has lost. A missing record is no fault of the control plane."""
        try:
            kept, plan = await self._earlier(self._order, need.deployment)
        except NotFound as error:
            return HostReply.none(error.code, str(error))
        assert kept.revision, "see Frozen.earlier"
        self._revision = kept.revision
        reply = {"reply": "revision", "revision": revision_part(kept.revision), "plan": plan}
        return HostReply({**reply, "file_exists_behavior": kept.file_exists_behavior, "url": await self.url()})

    async def _plan(self, need: Need) -> HostReply:
        return await aside(plan_answer, need)


def plan_answer(need: Need) -> HostReply:
    """The compiled AppSpec of an archive that AWS's agent left on the host, or why there is none: that host's fault."""
    name = need.name or "appspec.yml"
    checked = parse_appspec(need.appspec, name, is_deployed=True)
    if checked.value:
        return HostReply({"reply": "plan", "plan": plan_part(checked.value)})
    about = f"{name} of {need.deployment}, which AWS's agent deployed there"
    problems = "; ".join(str(problem) for problem in checked.problems)
    return HostReply.none("InvalidAppSpec", f"{about}, cannot be used: {problems}")
