"""What a deployment would remove, add, change and run on a host; touches nothing."""

import os

from towline.host.runner.after_cleanup import AfterCleanup
from towline.host.runner.cleanup import CleanupList
from towline.host.runner.constants import ARCHIVE, HOOK_EVENTS, KEPT_PLAN, OF_LAST_INSTALL
from towline.host.runner.errors import StepFailed
from towline.host.runner.files import read_json
from towline.host.runner.install_plan import InstallPlan
from towline.host.runner.install_record import History
from towline.host.runner.kept_scripts import last_revision_problem
from towline.host.runner.machine import machine_of
from towline.host.runner.places import Group
from towline.host.runner.readiness import lacking
from towline.host.runner.replaced_files import Keeper
from towline.host.runner.sources import Listed, OnDisk
from towline.host.runner.text import as_text
from towline.host.runner.undo import (
    CLEANED_BY,
    behavior_of_undo,
    find_undo,
    has_archive,
    revision_kept_in,
    succeeded_before,
)


def preview(host, order):
    """What a deploy of this order, or an undo of `undo`, would remove, add, change and run. Touches nothing."""
    group = Group(host, order["group"]["id"])
    answer = {"kind": "plan", "removed": [], "added": [], "changed": [], "unchanged": 0, "run": []}
    answer.update(runs_now=group.installed(), complete=True, machine=machine_of(host))
    if order.get("undo"):
        return preview_undo(host, order, group, answer)
    answer["run"] = preview_scripts(order, group)
    problems, answer["warnings"] = lacking(host, order)
    problems += filter(None, [last_revision_problem(host, order)])
    if problems:
        answer.update(problems=problems, problem="; ".join(problems))
    archive = archive_with(group, (order.get("revision") or {}).get("sha256"))
    if archive is None and order.get("files") is None:
        answer["complete"] = False
        return answer
    sources = OnDisk(archive) if archive else Listed(order["files"])
    return preview_files(answer, host, order, group, sources, ())


def preview_undo(host, order, group, answer):
    """The same for an undo, from what the host has kept; `back_to` is what would run then. Raises as `find_undo`."""
    kind, found = find_undo(host, order)
    answer["back_to"] = None
    if kind in ("nothing", "unknown"):
        answer.update(nothing=found, back_to=answer["runs_now"])
        return answer
    restored = Keeper(group, order["undo"]).paths()
    if kind == "clean":
        order = dict(order, plan={}, events=[event for event in order.get("events") or () if event in CLEANED_BY])
        answer["run"] = preview_scripts(order, group)
        return preview_files(answer, host, order, group, Listed([]), restored)
    if not has_archive(found):
        before = succeeded_before(host, order["undo"])
        gone = "the archive of %s, which ran here before, is gone from this host: it is sent again"
        answer.update(back_to=before, complete=False, warnings=[gone % as_text(os.path.basename(found))])
        return answer
    revision, plan, behavior = revision_kept_in(found)
    answer["back_to"] = {name: revision.get(name) for name in ("label", "sha256")}
    answer["back_to"]["deployment"] = os.path.basename(found)
    order = dict(order, plan=plan, file_exists_behavior=behavior_of_undo(behavior))
    answer["run"] = preview_scripts(order, group)
    if not os.path.isdir(found + "/" + ARCHIVE) or not plan:  # an archive of AWS's agent has no plan before it is asked
        answer["complete"] = False
        return answer
    return preview_files(answer, host, order, group, OnDisk(found + "/" + ARCHIVE), restored)


def preview_files(answer, host, order, group, sources, restored):
    """Fills in the paths; `restored` are those that come back between clean-up and install."""
    deployment = host.deployment(group.id, order["deployment"])
    try:
        disk = AfterCleanup(CleanupList(group))
        behavior, history = order.get("file_exists_behavior"), History(group, deployment)
        plan = InstallPlan(host, order.get("plan") or {}, sources, behavior, disk, history)
    except StepFailed as failed:
        problems = [*answer.get("problems", ()), failed.message]
        answer.update(problems=problems, problem="; ".join(problems))
        return answer
    answer["warnings"] = [*answer.get("warnings", ()), *plan.warnings]
    for destination, source in plan.copies.items():
        if not os.path.lexists(destination):
            answer["added"].append(as_text(destination))
        elif sources.same(source, destination):
            answer["unchanged"] += 1
        else:
            answer["changed"].append(as_text(destination))
    restored = [path for path in restored if path not in plan.copies]
    for path in restored:
        answer["changed" if os.path.lexists(path) else "added"].append(as_text(path))
    for path in disk.list.paths:
        stays = path in plan.copies or path in restored or path in disk.left
        if not stays and os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            answer["removed"].append(as_text(path))
    return answer


def preview_scripts(order, group):
    """[{event, location}] in the order in which they would run."""
    found, unpacked = [], False
    for event in order.get("events") or ():
        unpacked = unpacked or event == "DownloadBundle"
        plan = order.get("plan") or {}
        if event in OF_LAST_INSTALL and not unpacked:
            last = group.last_install()
            plan = (read_json(last + "/" + KEPT_PLAN) or {}).get("plan") or {} if last else {}
        if event in HOOK_EVENTS:
            for script in (plan.get("hooks") or {}).get(event) or ():
                found.append({"event": event, "location": as_text(script["location"])})
    return found


def archive_with(group, sha256):
    """An unpacked archive of that digest that this host has, or None."""
    base = group.host.deployments + "/" + group.id
    for name in os.listdir(base) if sha256 and os.path.isdir(base) else ():
        kept = read_json("%s/%s/%s" % (base, name, KEPT_PLAN)) or {}
        archive = "%s/%s/%s" % (base, name, ARCHIVE)
        if (kept.get("revision") or {}).get("sha256") == sha256 and os.path.isdir(archive):
            return archive
    return None
