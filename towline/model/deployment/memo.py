"""A deployment's memo: what Temporal itself answers about it, while no worker is asked. Pure.

The workflow writes it at each change of its state. How far the instances are is a memo of its own, since it changes
most often. Large shards report their progress in steps: who wants the counts of this moment asks these for theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from towline.model import names
from towline.model.base import Message
from towline.model.catalogue.current_names import CurrentNames
from towline.model.deployment.info import DeploymentInfo, DeploymentOverview
from towline.model.messages.shard import ShardProgress
from towline.model.messages.view import DeploymentView
from towline.model.rollout.leases import ShardBook
from towline.model.rollout.window import REPORTS_EACH


class ShardCounts(Message):
    """How far an open shard was at its last report."""

    index: int
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0

    @classmethod
    def of_progress(cls, progress: ShardProgress) -> ShardCounts:
        """Those of this moment."""
        ended = progress.succeeded + progress.failed
        return cls(
            index=progress.index,
            succeeded=progress.succeeded,
            failed=progress.failed,
            in_flight=progress.started - ended,
        )


class DeploymentCounts(Message):
    """How many instances stand how, and what of it open shards reported that report in steps."""

    overview: DeploymentOverview | None = None
    shards: tuple[ShardCounts, ...] = ()


class DeploymentMemo(Message):
    """What the memo says of a deployment."""

    info: DeploymentInfo
    counts: DeploymentCounts = DeploymentCounts()
    application_id: str = ""
    group_id: str = ""

    @classmethod
    def read(cls, memo: Mapping[str, Any]) -> DeploymentMemo | None:
        """A workflow's memo; None where it is none, or of another version."""
        try:
            info = DeploymentInfo.model_validate(memo[names.MEMO_INFO])
            counts = DeploymentCounts.model_validate(memo.get(names.MEMO_COUNTS, {}))
            application_id, group_id = memo.get(names.MEMO_IDS, ("", ""))
            return cls(info=info, counts=counts, application_id=application_id, group_id=group_id)
        except (KeyError, ValueError):
            return None

    @classmethod
    def of_view(cls, view: DeploymentView) -> DeploymentMemo:
        """The same of a deployment that has a view."""
        ids = {"application_id": view.progress.application_id, "group_id": view.progress.group_id}
        return cls(info=view.info, counts=DeploymentCounts(overview=view.info.deployment_overview), **ids)

    def moved_on(self, now: Iterable[ShardCounts]) -> DeploymentMemo:
        """With the counts that shards answered meanwhile."""
        return self.model_copy(update={"counts": DeploymentCounts(overview=moved_on(self.counts, now))})

    def info_named(self, names_now: CurrentNames) -> DeploymentInfo:
        """CodeDeploy's DeploymentInfo, with the names that application and group have now."""
        info = self.info
        application, group = names_now.of(
            info.application_name, info.deployment_group_name, self.application_id, self.group_id
        )
        return info.model_copy(
            update={
                "application_name": application,
                "deployment_group_name": group,
                "deployment_overview": self.counts.overview,
            }
        )


def memo_of(view: DeploymentView, open_shards: Iterable[ShardBook]) -> dict[str, Any]:
    """What is written into the memo."""
    in_steps = (book for book in open_shards if len(book.members) > REPORTS_EACH)
    info, progress = view.info, view.progress
    counts = DeploymentCounts(
        overview=info.deployment_overview,
        shards=tuple(
            ShardCounts(index=book.index, succeeded=book.succeeded, failed=book.failed(), in_flight=book.in_flight)
            for book in in_steps
        ),
    )
    return {
        names.MEMO_INFO: info.model_copy(update={"deployment_overview": None}).as_json(),
        names.MEMO_IDS: [progress.application_id, progress.group_id],
        names.MEMO_COUNTS: counts.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def moved_on(counts: DeploymentCounts, now: Iterable[ShardCounts]) -> DeploymentOverview | None:
    """The overview, with what has happened in shards since their last report.

    >>> overview = DeploymentOverview(pending=8, in_progress=2)
    >>> reported = DeploymentCounts(overview=overview, shards=(ShardCounts(index=1, in_flight=2),))
    >>> moved_on(reported, [ShardCounts(index=1, succeeded=2, failed=1, in_flight=3)])
    DeploymentOverview(pending=4, in_progress=3, succeeded=2, failed=1, skipped=0, ready=0)
    """
    overview = counts.overview
    if overview is None:
        return None
    reported = {shard.index: shard for shard in counts.shards}
    pairs = [(reported[one.index], one) for one in now if one.index in reported]
    in_progress = overview.in_progress + sum(one.in_flight - before.in_flight for before, one in pairs)
    succeeded = overview.succeeded + sum(one.succeeded - before.succeeded for before, one in pairs)
    failed = overview.failed + sum(one.failed - before.failed for before, one in pairs)
    pending = max(0, overview.total - overview.skipped - in_progress - succeeded - failed)
    return overview.model_copy(
        update={"pending": pending, "in_progress": in_progress, "succeeded": succeeded, "failed": failed}
    )
