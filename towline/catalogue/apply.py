"""Applying a manifest: what would change in the catalogue, what that does to groups, and writing it.

    comparison = await compare(catalogue, manifest)
    await write(catalogue, comparison.changes)

Between the two a caller shows the comparison. Where others wrote meanwhile, nothing of theirs is overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from temporalio.client import Client

from towline.catalogue.ec2 import ec2_members
from towline.catalogue.repository import Catalogue
from towline.errors import InvalidInput, InvalidManifest
from towline.model.catalogue.changes import APPLIED, CatalogueChanges, diff, memberships
from towline.model.fleet.ec2_members import Ec2Members
from towline.model.fleet.same_host import declared_twice
from towline.model.fleet.selection import Membership
from towline.model.fleet.ssh_paths import CheckPaths, PathFindings, ssh_paths
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.parser import Manifest, unknown_references
from towline.model.problem import Problem, Severity
from towline.model.worker_call import WorkerCall
from towline.worker_call import call_worker

ASK_SECONDS = 10.0


@dataclass(frozen=True)
class Comparison:
    """What applying a manifest would change, and the members that each group has, gains and loses by it."""

    changes: CatalogueChanges
    groups: tuple[Membership, ...]

    @property
    def losing(self) -> tuple[Membership, ...]:
        """Groups that would lose most of their members, which rarely is meant."""
        return tuple(group for group in self.groups if group.loses_most)

    @property
    def empty(self) -> tuple[Membership, ...]:
        """Groups that select no instance: a deployment to them would fail."""
        return tuple(group for group in self.groups if not group.members and not self._group(group.group).seeks_ec2)

    @property
    def same_hosts(self) -> tuple[tuple[str, str], ...]:
        """Groups with a host that they have under several names, and which: it is deployed to once."""
        return tuple(
            (group.group, text) for group in self.groups for text in declared_twice(self.changes.after, group.members)
        )

    def _group(self, name: str) -> DeploymentGroup:
        return DeploymentGroup.model_validate(self.changes.after[f"group/{name}"])


def refuse(problems: Iterable[Problem]) -> None:
    """Raise `InvalidManifest` with those problems that are errors, if any is."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        count = f"{len(errors)} problem{'' if len(errors) == 1 else 's'}"
        raise InvalidManifest(f"{count}, nothing was changed.", errors)


def check_prune(manifest: Manifest) -> None:
    """Raise `InvalidInput` where nothing says what pruning may remove."""
    if not manifest.owners:
        raise InvalidInput("--prune removes what an owner applied before, and no file names one.", "Add `owner: …`.")


async def compare(catalogue: Catalogue, manifest: Manifest, *, prune: bool = False) -> Comparison:
    """Return what applying the manifest would change; `prune`: also what its owners no longer declare is removed.

    Raises `InvalidManifest` where it refers to what does not exist, `TemporalUnavailable`.
    """
    existing = await catalogue.read_all(*APPLIED)
    refuse(unknown_references(manifest, existing))
    changes = diff(manifest.records, existing, manifest.owners, prune=prune)
    return Comparison(changes, tuple(memberships(changes, existing)))


async def write(catalogue: Catalogue, changes: CatalogueChanges) -> None:
    """Write the changes. Raises `CatalogueConflict`, which names what was written all the same."""
    await catalogue.write(change.change for change in changes.changes)


async def find_on_ec2(client: Client, changes: CatalogueChanges) -> dict[str, Ec2Members]:
    """Return who would be in the groups on EC2, of those groups that are declared or change, by `application/group`."""
    touched = {change.key for change in changes.changes}
    is_any_source = any(key.startswith("ec2/") for key in touched)
    groups = [
        DeploymentGroup.model_validate(value)
        for key, value in changes.after.items()
        if key.startswith("group/") and (key in touched or is_any_source)
    ]
    sources = [value for key, value in changes.after.items() if key.startswith("ec2/")]
    return await ec2_members(client, groups, sources)


async def check_paths(client: Client, manifest: Manifest) -> PathFindings | None:
    """Return what the paths under `ssh` are on a worker, where they are needed; None where there are none.

    Raises `TowlineError` where no worker could look.
    """
    paths = ssh_paths(manifest.records)
    if not paths:
        return None
    call = WorkerCall(
        activity="check_paths",
        argument=CheckPaths(paths=tuple(paths)),
        timeout_seconds=ASK_SECONDS,
        summary="paths of towline.yaml",
    )
    return await call_worker(client, call, PathFindings)
