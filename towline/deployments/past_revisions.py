"""A revision that a group has had before, found by deployment id, digest or label."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from towline import errors
from towline.bundles.local import revision_key
from towline.model.bundle.revision import RevisionLocation
from towline.store.deployment_records import DeploymentRecords
from towline.store.parallel import in_parallel

LOOKED_AT = 200
"""So many of a group's newest deployments are searched."""

DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{7,64})")


@dataclass(frozen=True)
class PastRevision:
    """A revision as a deployment had it: the location with its version, and the digest of the archive."""

    deployment_id: str
    location: RevisionLocation
    sha256: str

    @property
    def label(self) -> str:
        """How people write it."""
        return self.location.label


async def past_revision(
    records: DeploymentRecords, deployment_ids: Sequence[str], where: str, text: str
) -> RevisionLocation:
    """The location of the revision that a text stands for, of those that deployments of the group `where` had.

    Raises:
        NotFound: no deployment of the group had it, or its archive is no longer in the store.
        Conflict: several revisions are meant.
        OurFault: the store does not answer.
    """
    past = await asyncio.to_thread(in_parallel, partial(_past, records), deployment_ids)
    found = matching(text, [one for one in past if one], where)
    store = found.location.store_location
    if store and not await asyncio.to_thread(records.store.exists, revision_key(store.digest, store.bundle_type)):
        raise errors.NotFound(
            f"the archive of {found.label} is no longer in the store.",
            "Deploy it from where it was made: --revision PATH",
        )
    return found.location


def matching(text: str, past: Sequence[PastRevision], where: str) -> PastRevision:
    """The one revision that a text means: a deployment id, its beginning, a label, the name in one, or a digest.

    `past` is newest first; the same revision in several deployments counts once. Raises NotFound, Conflict.
    """
    for found in _by_each_rule(text, past):
        different = list({one.sha256: one for one in reversed(found)}.values())
        if len(different) > 1:
            shown = ", ".join(f"{one.label} ({one.deployment_id})" for one in different[:5])
            raise errors.Conflict(
                f"{text!r} stands for {len(different)} revisions: {shown}.", "Name a deployment's id."
            )
        if found:
            return found[0]
    raise errors.NotFound(
        f"revision {text!r}: there is no such directory or archive here, and no deployment of {where} had it.",
        f"See: towline list {where}   The other forms are s3://BUCKET/KEY and github://OWNER/REPO@SHA",
    )


def _by_each_rule(text: str, past: Sequence[PastRevision]) -> list[list[PastRevision]]:
    """The matches by each rule, the narrowest rule first."""
    digest = DIGEST.fullmatch(text.lower())
    return [
        [one for one in past if one.deployment_id == text],
        [one for one in past if one.label == text],
        [one for one in past if digest and one.sha256.startswith(digest[1])],
        [one for one in past if one.location.store_location and one.location.store_location.name == text],
        [one for one in past if len(text) > 2 and one.deployment_id.startswith(text)],
    ]


def _past(records: DeploymentRecords, deployment_id: str) -> PastRevision | None:
    """What a deployment froze of its revision; None for a rollback and for one that ended before."""
    order = records.order(deployment_id)
    if order is None or order.revision is None:
        return None
    return PastRevision(deployment_id, order.revision.location, order.revision.sha256)
