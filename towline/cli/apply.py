"""The work of `towline apply`: read the files, compare, show, ask, write; once more where others wrote meanwhile."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from towline.catalogue.apply import Comparison, check_paths, check_prune, compare, find_on_ec2, refuse, write
from towline.catalogue.repository import Catalogue, CatalogueConflict
from towline.cli.diff import diff_lines
from towline.cli.event_loop import with_client
from towline.cli.input_files import read_input
from towline.cli.output import confirm, error, has_colour, info, result, warn
from towline.errors import Conflict, InvalidInput, TowlineError
from towline.model.catalogue.changes import CatalogueChanges, shortened
from towline.model.deployment.exit_status import ExitStatus
from towline.model.fleet.ec2_members import Ec2Members
from towline.model.fleet.ssh_paths import MISSING, mend_of, ssh_paths
from towline.model.manifest.parser import Manifest, merge, parse_manifest

MANIFEST_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ApplyOptions:
    """What was asked for on the command line."""

    files: tuple[Path, ...]
    yes: bool = False
    dry_run: bool = False
    prune: bool = False


def apply(options: ApplyOptions) -> int:
    """The whole command; returns its exit status."""
    manifest = read_files(options.files)
    if options.prune:
        check_prune(manifest)
    return with_client(lambda service: apply_manifest(service.temporal, manifest, options))


def read_files(files: tuple[Path, ...]) -> Manifest:
    """Reads the files as one manifest; prints warnings. Raises `InvalidManifest` with all problems of all files."""
    manifest = merge([_read_file(file) for file in files])
    refuse(manifest.errors)
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


async def apply_manifest(
    client: Client, manifest: Manifest, options: ApplyOptions, *, catalogue: Catalogue | None = None
) -> int:
    """Compares, shows, asks, writes; returns the exit status. Raises `Conflict` where others wrote meanwhile.

    On a terminal the new differences are shown and asked about once more. Elsewhere there is no one to judge them:
    what the others wrote stands, and the next `apply` shows it.
    """
    catalogue = catalogue or Catalogue(client)
    for is_last in (False, True):
        comparison = await compare(catalogue, manifest, prune=options.prune)
        await _show(client, manifest, comparison)
        if options.dry_run or not comparison.changes.changes:
            return ExitStatus.SUCCEEDED
        if not options.yes and not _is_confirmed(comparison):
            info("Nothing was changed.")
            return ExitStatus.FAILED_WHOLE
        try:
            await write(catalogue, comparison.changes)
        except CatalogueConflict as conflict:
            if options.yes or is_last:
                raise _refused(conflict, comparison.changes) from conflict
            error(f"{conflict.message}. This is what is left to do:")
        else:
            _show_applied(comparison)
            return ExitStatus.SUCCEEDED
    raise AssertionError("the second round returns or raises")


async def _show(client: Client, manifest: Manifest, comparison: Comparison) -> None:
    result("\n".join(diff_lines(comparison.changes, comparison.groups, colour=has_colour(sys.stdout))))
    _warn_of_members(comparison)
    for name, found in (await find_on_ec2(client, comparison.changes)).items():
        _show_on_ec2(name, found)
    await _show_paths(client, manifest)


def _show_applied(comparison: Comparison) -> None:
    info(f"Applied: {_counted(comparison.changes)}.")
    if ready := [group.group for group in comparison.groups if group.members]:
        info(f"Next: towline deploy {ready[0].replace('/', ' ')} --revision PATH")


def _show_on_ec2(name: str, found: Ec2Members) -> None:
    if found.problem:
        warn(f"{name} on EC2: not known. {found.problem}")
        return
    members = shortened([one.name for one in found.members])
    count = f"{len(found.members)} instance{'' if len(found.members) == 1 else 's'} now"
    result(f"{name} on EC2: {count}" + (f": {members}" if members else ""))


async def _show_paths(client: Client, manifest: Manifest) -> None:
    """What the paths under `ssh` are on a worker: keys and known hosts lie there, not here."""
    try:
        answer = await check_paths(client, manifest)
    except TowlineError as trouble:
        warn(f"the paths under ssh were not checked: {trouble.message}")
        return
    if answer is None:
        return
    paths = ssh_paths(manifest.records)
    info(f"Paths on the worker {answer.worker}:")
    for finding in answer.findings:
        shown = finding.path if finding.path == finding.resolved else f"{finding.path} → {finding.resolved}"
        if finding.problem:
            mend = mend_of(paths.get(finding.path, ""), finding.path) if finding.problem == MISSING else ""
            warn(f"  {shown} {finding.problem}" + (f". Make it with: {mend}" if mend else ""))
        else:
            info(f"  {shown}")


def _warn_of_members(comparison: Comparison) -> None:
    for group in comparison.empty:
        warn(f"{group.group} has no instance: a deployment to it would fail. Compare its tags with the instances'.")
    for group in comparison.losing:
        before = len(group.members) - len(group.gained) + len(group.lost)
        warn(
            f"{group.group} loses {len(group.lost)} of its {before} instances, {shortened(group.lost)}: they go on "
            "running what they run, and no deployment of this group reaches them any more."
        )
    for name, warning in comparison.same_hosts:
        warn(f"{name}: {warning}. It counts as one. Declare it once, or give each name its own host.")


def _is_confirmed(comparison: Comparison) -> bool:
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise InvalidInput("not applied: there is no terminal to ask on.", "Add --yes, or --dry-run to only look.")
    if not confirm("Apply these changes?"):
        return False
    losing = ", ".join(group.group for group in comparison.losing)
    return not losing or confirm(f"Is that meant for {losing}?")


def _refused(conflict: CatalogueConflict, changes: CatalogueChanges) -> Conflict:
    done = f"{len(conflict.written)} of {len(changes.changes)} changes were made"
    return Conflict(f"{conflict.message}; {done}.", "Nothing of theirs was overwritten. Run the same command again.")


def _counted(changes: CatalogueChanges) -> str:
    words: Mapping[str, str] = {"+": "added", "~": "changed", "-": "removed"}
    return ", ".join(f"{len(changes.of(sign))} {word}" for sign, word in words.items() if changes.of(sign))
