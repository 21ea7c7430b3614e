"""The story of `towline apply`: read the files, compare, show, ask, write; and what to do when somebody was faster."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from towline.catalogue.client import Catalogue, CatalogueConflict
from towline.cli.door import run_story
from towline.cli.ec2 import ec2_members
from towline.cli.input_files import read_input
from towline.cli.output import complain, confirm, has_colour, result, say, warn
from towline.cli.plan_lines import plan_lines
from towline.errors import Conflict, InvalidInput, InvalidManifest, TowlineError
from towline.model.catalogue.changes import APPLIED, Changes, diff, memberships, shortened
from towline.model.catalogue.records import Record
from towline.model.deployment.exit_status import ExitStatus
from towline.model.fleet.same_host import declared_twice
from towline.model.fleet.selection import Membership
from towline.model.fleet.ssh_paths import MISSING, CheckPaths, PathFindings, mend_of, ssh_paths
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.parser import Manifest, merge, parse_manifest, unknown_references
from towline.model.problem import Problem, Severity
from towline.model.worker_call import WorkerCall
from towline.worker_call import call_worker

ASK_SECONDS = 10.0
MANIFEST_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Apply:
    """What was asked for on the command line."""

    files: tuple[Path, ...]
    yes: bool = False
    dry_run: bool = False
    prune: bool = False


def run(wish: Apply) -> int:
    """The whole command; returns its exit status."""
    manifest = read_files(wish.files)
    if wish.prune and not manifest.owners:
        raise InvalidInput("--prune removes what an owner applied before, and no file names one.", "Add `owner: …`.")

    async def story() -> int:
        from towline.settings import read_settings
        from towline.temporal import connect_temporal

        return await apply(await connect_temporal(read_settings()), manifest, wish)

    return run_story(story)


def read_files(files: tuple[Path, ...]) -> Manifest:
    """The files as one manifest; warnings are told. Raises `InvalidManifest` with all problems of all files."""
    manifest = merge([_read_file(file) for file in files])
    _refuse(manifest.errors)
    for problem in manifest.problems:
        warn(f"{problem}")
    return manifest


def _read_file(file: Path) -> Manifest:
    try:
        text = sys.stdin.read() if str(file) == "-" else read_input(file, MANIFEST_LIMIT_BYTES).decode()
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}.", "Name a file: towline apply -f towline.yaml") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file}: is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    folder = Path.cwd() if str(file) == "-" else file.resolve().parent
    return parse_manifest(text, file=str(file), folder=str(folder), host=socket.gethostname())


def _refuse(problems: Sequence[Problem]) -> None:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        count = f"{len(errors)} problem{'' if len(errors) == 1 else 's'}"
        raise InvalidManifest(f"{count}, nothing was changed.", errors)


async def apply(client: Client, manifest: Manifest, wish: Apply, *, catalogue: Catalogue | None = None) -> int:
    """Compares, shows, asks, writes; returns the exit status. Raises `Conflict` where somebody else was faster.

    On a terminal the new differences are shown and asked about once more. Elsewhere nobody could judge them: what the
    other one wrote stands, and the next `apply` shows it.
    """
    catalogue = catalogue or Catalogue(client)
    for is_last in (False, True):
        existing = await _existing(catalogue)
        _refuse(unknown_references(manifest, existing))
        changes = diff(manifest.records, existing, manifest.owners, prune=wish.prune)
        groups = memberships(changes, existing)
        result("\n".join(plan_lines(changes, groups, colour=has_colour(sys.stdout))))
        emptied = _tell_losses(groups, changes)
        _tell_same_hosts(groups, changes)
        await _tell_ec2(client, changes)
        await _tell_paths(client, manifest)
        if wish.dry_run or not changes.changes:
            return ExitStatus.SUCCEEDED
        if not wish.yes and not (_is_confirmed() and (not emptied or _are_losses_meant(emptied))):
            return _not_applied()
        try:
            await catalogue.write(change.change for change in changes.changes)
        except CatalogueConflict as conflict:
            if wish.yes or is_last:
                raise _refused(conflict, changes) from conflict
            complain(f"{conflict.message}. This is what is left to do:")
        else:
            say(f"Applied: {_counted(changes)}.")
            if ready := [group.group for group in groups if group.members]:
                say(f"Next: towline deploy {ready[0].replace('/', ' ')} --revision PATH")
            return ExitStatus.SUCCEEDED
    raise AssertionError("the second round returns or raises")


async def _existing(catalogue: Catalogue) -> dict[str, Record]:
    """All records of the kinds that `apply` knows."""
    return await catalogue.read_all(*APPLIED)


async def _tell_ec2(client: Client, changes: Changes) -> None:
    """Who would be in the groups on EC2, of those that are declared or change; only a worker can tell."""
    touched = {change.key for change in changes.changes}
    is_any_source = any(key.startswith("ec2/") for key in touched)
    groups = [
        DeploymentGroup.model_validate(value)
        for key, value in changes.after.items()
        if key.startswith("group/") and (key in touched or is_any_source)
    ]
    sources = [value for key, value in changes.after.items() if key.startswith("ec2/")]
    for name, found in (await ec2_members(client, groups, sources)).items():
        if found.problem:
            warn(f"{name} on EC2: not known. {found.problem}")
        else:
            members = shortened([one.name for one in found.members])
            count = f"{len(found.members)} instance{'' if len(found.members) == 1 else 's'} now"
            result(f"{name} on EC2: {count}" + (f": {members}" if members else ""))


async def _tell_paths(client: Client, manifest: Manifest) -> None:
    """What the paths under `ssh` are on a worker: keys and known hosts lie there, not here."""
    paths = ssh_paths(manifest.records)
    if not paths:
        return
    call = WorkerCall(
        activity="check_paths",
        argument=CheckPaths(paths=tuple(paths)),
        timeout_seconds=ASK_SECONDS,
        summary="paths of towline.yaml",
    )
    try:
        answer = await call_worker(client, call, PathFindings)
    except TowlineError as error:
        warn(f"the paths under ssh were not checked: {error.message}")
        return
    say(f"Paths on the worker {answer.worker}:")
    for finding in answer.findings:
        shown = finding.path if finding.path == finding.resolved else f"{finding.path} → {finding.resolved}"
        if finding.problem:
            mend = mend_of(paths.get(finding.path, ""), finding.path) if finding.problem == MISSING else ""
            warn(f"  {shown} {finding.problem}" + (f". Make it with: {mend}" if mend else ""))
        else:
            say(f"  {shown}")


def _is_confirmed() -> bool:
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise InvalidInput("not applied: there is no terminal to ask on.", "Add --yes, or --dry-run to only look.")
    return confirm("Apply these changes?")


def _tell_losses(groups: Sequence[Membership], changes: Changes) -> list[Membership]:
    """Warns of groups that lose most of their members, and of empty ones; returns those that lose."""
    for group in groups:
        selects_ec2 = DeploymentGroup.model_validate(changes.after[f"group/{group.group}"]).seeks_ec2
        if not group.members and not selects_ec2:
            warn(f"{group.group} has no instance: a deployment to it would fail. Compare its tags with the instances'.")
    losing = [group for group in groups if group.loses_most]
    for group in losing:
        before = len(group.members) - len(group.gained) + len(group.lost)
        warn(
            f"{group.group} loses {len(group.lost)} of its {before} instances, {shortened(group.lost)}: they go on "
            "running what they run, and no deployment of this group reaches them any more."
        )
    return losing


def _tell_same_hosts(groups: Sequence[Membership], changes: Changes) -> None:
    """Warns of hosts that a group has under several names: a deployment counts and touches each of them once."""
    for group in groups:
        for warning in declared_twice(changes.after, group.members):
            warn(f"{group.group}: {warning}. It counts as one. Declare it once, or give each name its own host.")


def _are_losses_meant(losing: Sequence[Membership]) -> bool:
    return confirm(f"Is that meant for {', '.join(group.group for group in losing)}?")


def _not_applied() -> int:
    say("Nothing was changed.")
    return ExitStatus.FAILED_WHOLE


def _refused(conflict: CatalogueConflict, changes: Changes) -> Conflict:
    done = f"{len(conflict.written)} of {len(changes.changes)} changes were made"
    return Conflict(f"{conflict.message}; {done}.", "Nothing of theirs was overwritten. Run the same command again.")


def _counted(changes: Changes) -> str:
    words: Mapping[str, str] = {"+": "added", "~": "changed", "-": "removed"}
    return ", ".join(f"{len(changes.of(sign))} {word}" for sign, word in words.items() if changes.of(sign))
