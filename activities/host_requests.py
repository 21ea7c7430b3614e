"""What a host may request while it works: the archive, a fresh URL for it, the plan of another archive.

Each kind of request is a row of `HostRequests._answer`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from activities.snapshot import Archives
from towline.aside import aside
from towline.errors import TowlineError
from towline.model.appspec.parser import parse_appspec
from towline.model.bundle.revision import ResolvedRevision
from towline.model.host.events import Need
from towline.model.host.order import plan_part
from towline.transports import Reply


@dataclass(frozen=True)
class Answer:
    """One line, and the bytes that follow it."""

    reply: Reply
    body: Path | None = None

    @classmethod
    def none(cls, code: str, message: str) -> Answer:
        """What was requested cannot be had."""
        return cls({"reply": "none", "code": code, "message": message})


class HostRequests:
    """Answers the requests of one instance's runner."""

    def __init__(self, revision: ResolvedRevision | None, archives: Archives) -> None:
        """`revision` is what the deployment brings; None for a rollback."""
        self._revision = revision
        self._archives = archives
        self._answer: dict[str, Callable[[Need], Awaitable[Answer]]] = {
            "archive": self._archive,
            "url": self._fresh_url,
            "plan": self._plan,
        }

    def has_use_for(self, need: Need) -> bool:
        """Whether a host of this deployment could need this: a rollback brings no archive."""
        return need.what != "archive" or self._revision is not None

    async def answer(self, need: Need) -> Answer:
        """The answer; raises towline's errors where it cannot be had by a fault on our side."""
        if need.what not in self._answer:
            return Answer.none("UnknownNeed", f"{need.what} is unknown")
        return await self._answer[need.what](need)

    async def url(self, *, anew: bool = False) -> str | None:
        """A presigned URL of the archive; None where there is none."""
        return await self._archives.url(self._revision, anew=anew) if self._revision else None

    async def _archive(self, need: Need) -> Answer:
        assert self._revision, "see has_use_for"
        path = await self._archives.file(self._revision)
        return Answer({"reply": "archive", "size": path.stat().st_size}, path)

    async def _fresh_url(self, need: Need) -> Answer:
        try:
            url = await self.url(anew=True)
        except TowlineError:  # the runner is at work: it goes on with the archive itself
            url = None
        return Answer({"reply": "url", "url": url})

    async def _plan(self, need: Need) -> Answer:
        return await aside(plan_answer, need)


def plan_answer(need: Need) -> Answer:
    """The compiled AppSpec of an archive that AWS's agent left on the host, or why there is none: that host's fault."""
    name = need.name or "appspec.yml"
    checked = parse_appspec(need.appspec, name, is_deployed=True)
    if checked.value:
        return Answer({"reply": "plan", "plan": plan_part(checked.value)})
    about = f"{name} of {need.deployment}, which AWS's agent deployed there"
    problems = "; ".join(str(problem) for problem in checked.problems)
    return Answer.none("InvalidAppSpec", f"{about}, cannot be used: {problems}")
