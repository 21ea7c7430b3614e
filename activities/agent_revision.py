"""What a deployment brings to a host with AWS's agent: a revision, in a rollback the one that the host ran before.

AWS's agent cannot undo. A rollback deploys the earlier revision once more, from the deployment that brought it; where
the group knows of none, an empty one, whose Install removes what was installed.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from activities.snapshot import ArchiveSource, Frozen
from towline.errors import NotFound
from towline.model.bundle.revision import ResolvedRevision
from towline.model.codedeploy_agent.limits import script_seconds
from towline.model.codedeploy_agent.specification import (
    BundleObject,
    bundle_object,
    empty_object,
    revision_of,
    s3_revision,
)
from towline.model.fleet.instance import Target
from towline.model.host.order import PlanPart
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.instance import Installed

EMPTY_APPSPEC = b"version: 0.0\nos: linux\n"


@dataclass(frozen=True)
class AgentRevision:
    """A revision as the agent gets it. `archive` gives the file or content of `bundle`; of GitHub's both are None.

    `script_seconds`: by event, how long its scripts may take. `now` and `warnings` tell of a rollback: what the host
    runs when it has succeeded, and what it could not do.
    """

    specified: dict[str, Any]
    bundle: BundleObject | None
    archive: Callable[[], Awaitable[Path | bytes]] | None
    script_seconds: Mapping[str, float] = field(default_factory=dict)
    now: Installed | None = None
    warnings: tuple[str, ...] = ()


async def revision_for(
    order: DeploymentOrder, target: Target, frozen: Frozen, archives: ArchiveSource
) -> AgentRevision:
    """What this deployment brings to this host. Raises NotFound, OurFault."""
    if order.undo is None:
        assert order.revision
        return _of(order.revision, await frozen.plan(order), archives)
    if not target.expected:
        return _nothing(order)
    if not target.expected_by:
        raise NotFound(
            f"which deployment brought {target.expected} to {target.name} is not on record",
            "Deploy the wanted revision to it: towline deploy APP GROUP --revision …",
        )
    earlier, plan = await frozen.earlier(order, target.expected_by)
    assert earlier.revision, "see Frozen.earlier"
    now = Installed(label=earlier.revision.label, sha256=earlier.revision.sha256)
    warning = (
        f"AWS's agent cannot undo: {earlier.revision.label} was deployed once more, as {target.expected_by} brought "
        "it. Files of others that had been overwritten are not restored."
    )
    return _of(earlier.revision, plan, archives, now, (warning,))


def _of(
    revision: ResolvedRevision,
    plan: PlanPart,
    archives: ArchiveSource,
    now: Installed | None = None,
    warnings: tuple[str, ...] = (),
) -> AgentRevision:
    bundle = bundle_object(revision)
    archive = partial(archives.file, revision) if bundle else None
    return AgentRevision(revision_of(revision), bundle, archive, script_seconds(plan["hooks"]), now, warnings)


def _nothing(order: DeploymentOrder) -> AgentRevision:
    """An empty revision: for a host that ran nothing of this group before."""
    bundle = empty_object(order.deployment_id)
    warning = (
        "AWS's agent cannot undo: an empty revision was deployed, which removes what was installed. Files of others "
        "that had been overwritten are not restored."
    )
    return AgentRevision(s3_revision(bundle), bundle, _empty_archive, {}, Installed(), (warning,))


async def _empty_archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("appspec.yml")
        member.size = len(EMPTY_APPSPEC)
        archive.addfile(member, io.BytesIO(EMPTY_APPSPEC))
    return data.getvalue()
