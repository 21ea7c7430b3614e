"""Shows what a deployment would do: `--plan` of `deploy` and `rollback`."""

from __future__ import annotations

from collections import Counter

from towline.cli import render
from towline.cli.output import result, result_json, warn
from towline.deployments.service import DeploymentService
from towline.model.deployment.describe import printable
from towline.model.deployment.exit_status import ExitStatus
from towline.model.deployment.preview import HostChanges, Preview
from towline.model.messages.deploy import DeployRequest

HOSTS_SHOWN = 100
PATHS_SHOWN = 15


async def show_preview(service: DeploymentService, request: DeployRequest, *, as_json: bool) -> int:
    """Prints the plan; the exit status is 0, or 2 where the deployment would fail."""
    preview = await service.preview(request)
    if as_json:
        result_json(preview.model_dump(mode="json"))
    else:
        result(render.joined(lines(preview, undone=request.undo.deployment_id if request.undo else "")))
        for warning in preview.warnings:
            warn(f"warning: {warning}")
    return int(ExitStatus.BAD_INPUT) if preview.problem or preview.would_fail else 0


def lines(preview: Preview, undone: str = "") -> list[str]:
    """The plan for people; `undone` is the deployment that a rollback takes back."""
    out = [f"{preview.application}/{preview.group}  {preview.revision or 'rollback'}  {preview.config}"]
    if preview.sha256:
        out.append(f"sha256 {preview.sha256}, {preview.size / 1e6:.1f} MB")
    if preview.problem:
        return [*out, "", preview.problem]
    out.append(_how(preview))
    if undone:
        out.append(f"Each goes back to what it ran before {undone}, with what the host itself has kept.")
    out += ["", *_hosts(preview)]
    for name, changes in preview.changes.items():
        hosts = [host.name for host in preview.hosts if host.changes == name]
        out += ["", f"On {_whom(hosts, len(preview.hosts))}{_back(changes) if undone else ''}:"]
        out += [f"  {changes.nothing}"] if changes.nothing else _changes(changes)
    if preview.would_fail:
        out += ["", printable(preview.would_fail)]
    return [*out, "", "Nothing was touched."]


def _how(preview: Preview) -> str:
    text = (
        f"{len(preview.hosts)} instances, at most {preview.slots} at once, at least {preview.minimum_healthy} healthy"
    )
    if preview.estimate_seconds is not None:
        text += f"; about {render.duration(preview.estimate_seconds)}, judged by the last deployment"
    return text


def _hosts(preview: Preview) -> list[str]:
    rows = [
        (
            f"{place}.",
            host.name,
            host.zone,
            host.rank,
            host.trouble or host.runs_now or "nothing of this group",
        )
        for place, host in enumerate(preview.hosts[:HOSTS_SHOWN], 1)
    ]
    table = render.table(rows, ("", "INSTANCE", "ZONE", "STATE", "RUNS NOW"))
    if len(preview.hosts) > HOSTS_SHOWN:
        rest = Counter(host.runs_now or "nothing" for host in preview.hosts[HOSTS_SHOWN:])
        tally = ", ".join(f"{count} × {what}" for what, count in rest.items())
        table.append(f"…and {len(preview.hosts) - HOSTS_SHOWN} more, which run: {tally}")
    return table


def _back(changes: HostChanges) -> str:
    if changes.nothing:
        return ", nothing to do"
    return f", back to {changes.back_to}" if changes.back_to else ", back to nothing of this group"


def _changes(changes: HostChanges) -> list[str]:
    out: list[str] = []
    for word, sign, paths, count in (
        ("removed", "-", changes.removed, changes.removed_count),
        ("added", "+", changes.added, changes.added_count),
        ("changed", "~", changes.changed, changes.changed_count),
    ):
        out += [f"  {sign} {printable(path)}" for path in paths[:PATHS_SHOWN]]
        if count > PATHS_SHOWN:
            out.append(f"  {sign} …and {count - PATHS_SHOWN} more {word}")
    unchanged = f"{changes.unchanged} file{'' if changes.unchanged == 1 else 's'} unchanged"
    out.append(f"  {unchanged}" if changes.is_complete else "  (which files: not known there)")
    out += [f"  run {script}" for script in changes.run]
    out += [f"  warning: {warning}" for warning in changes.warnings]
    if changes.problem:
        out.append(f"  Install would fail: {changes.problem}")
    return out


def _whom(hosts: list[str], total: int) -> str:
    if len(hosts) == total:
        return "every instance" if total > 1 else hosts[0]
    return ", ".join(hosts[:8]) + (f" and {len(hosts) - 8} more" if len(hosts) > 8 else "")
