"""Takes a deployment back by its own journal."""

import os

from towline.host.runner.after_cleanup import AfterCleanup
from towline.host.runner.cleanup import CleanupList
from towline.host.runner.constants import ARCHIVE, BUNDLE, KEPT_PLAN, SUCCESS
from towline.host.runner.errors import Refused, StepFailed, why
from towline.host.runner.files import read_json, remove, remove_tree, sha256_of, write_synced
from towline.host.runner.journal import Records
from towline.host.runner.kept_archive import copy_kept, type_of
from towline.host.runner.kept_scripts import all_scripts, why_not_trusted
from towline.host.runner.lifecycle import HostDeployment
from towline.host.runner.places import Group
from towline.host.runner.replaced_files import Keeper
from towline.host.runner.text import as_text
from towline.host.runner.untouched import others_could_change


def find_undo(host, order):
    """What an undo has to do here, from the journal of the deployment that it undoes.

    Returns ("nothing", why), ("unknown", why), ("clean", None) or ("install", directory); raises Refused where the host
    has moved on.
    """
    undone = order["undo"]
    group = Group(host, order["group"]["id"])
    records = Records(host.journal(undone))
    if not records.all:
        return "unknown", "%s left no journal here: it was not begun on this host, or the host has lost it" % undone
    if not any(record.get("kind") == "script_started" or is_change(record) for record in records.all):
        return "nothing", "%s changed nothing on this host" % undone
    last = group.last_install()
    name = os.path.basename(last) if last else ""
    kept = read_json(last + "/" + KEPT_PLAN) or {} if last else {}
    is_our_undo = kept.get("undoes") == undone
    if is_our_undo and (Records(host.journal(name)).finished or {}).get("outcome") == "succeeded":
        return "nothing", "%s was undone already, by %s" % (undone, name)
    started = next((record for record in records.all if record.get("kind") == "started"), {})
    before = started.get("before") or {}
    known = [undone] + [before[name]["deployment"] for name in ("installed", "succeeded") if before.get(name)]
    if last and name not in known and not is_our_undo:
        message = "%s has been followed by %s on this host" % (undone, name)
        raise Refused("ChangedSince", message, "Undo that one first, or deploy the wanted revision.")
    if not before.get("succeeded"):
        return "clean", None
    directory = host.deployment(group.id, before["succeeded"]["deployment"])
    if not (has_archive(directory) or before["succeeded"].get("sha256")):
        raise nothing_to_go_back_to(directory)
    return "install", directory


def has_archive(directory):
    """Whether a deployment's archive is still here, packed or unpacked."""
    return os.path.exists(directory + "/" + BUNDLE) or os.path.isdir(directory + "/" + ARCHIVE)


def nothing_to_go_back_to(directory, besides=""):
    message = "the archive of %s, which ran here before, is gone%s" % (os.path.basename(directory), besides)
    return Refused("NothingToGoBackTo", message, "Deploy the wanted revision.")


def succeeded_before(host, undone):
    """`{deployment, label, sha256}` of what had succeeded before a deployment, by that one's journal; else empty."""
    started = next((record for record in Records(host.journal(undone)).all if record.get("kind") == "started"), {})
    return (started.get("before") or {}).get("succeeded") or {}


def is_change(record):
    return record.get("kind") == "event_started" and record.get("event") in ("DownloadBundle", "Install")


def keep_bundle_of(directory, own):
    """The archive of an earlier deployment under this one's name: the same file, linked."""
    os.makedirs(own, 0o755, exist_ok=True)
    bundle, copy = directory + "/" + BUNDLE, own + "/" + BUNDLE
    remove(copy)
    if os.path.exists(bundle):
        os.link(os.path.realpath(bundle), copy)


def revision_kept_in(directory):
    """(revision, plan, file_exists_behavior) of a kept deployment; raises Refused if its archive was changed since."""
    kept = read_json(directory + "/" + KEPT_PLAN) or {}
    revision = kept.get("revision") or {"label": os.path.basename(directory), "sha256": None, "env": {}}
    bundle = directory + "/" + BUNDLE
    if revision.get("sha256") and os.path.exists(bundle) and sha256_of(bundle)[0] != revision["sha256"]:
        message = "%s is not what was installed from it: its SHA-256 has changed" % as_text(bundle)
        raise Refused("NothingToGoBackTo", message, "Deploy the wanted revision.")
    return revision, kept.get("plan") or {}, kept.get("file_exists_behavior")


def make_room(host, order):
    """On a full disk an undo takes the room of the archive that it undoes. Whether there was one to take."""
    group = Group(host, order["group"]["id"])
    undone = host.deployment(group.id, order["undo"])
    if undone in (group.last_install(), group.succeeded_directory()):
        return False  # its scripts are needed
    found = os.path.isdir(undone + "/" + ARCHIVE) or os.path.exists(undone + "/" + BUNDLE)
    remove(undone + "/" + BUNDLE)
    remove_tree(undone + "/" + ARCHIVE)
    return found


class HostUndo(HostDeployment):
    """Puts the revision back that ran before, from its kept archive and plan.

    The application may be stopped already, or its stop script may be what is broken: a failing ApplicationStop is told,
    and does not keep the host from going back.
    """

    ignores_stop_failures = True
    undone = "restored"

    def _download_bundle(self):
        try:
            self._unpack_kept()
        except (OSError, StepFailed):  # a full disk, mostly; else it fails again
            if not make_room(self.host, self.order):
                raise
            self._unpack_kept()

    def _unpack_kept(self):
        bundle, kept = self.directory + "/" + BUNDLE, self.order["undo_from"]
        revision = self.order["revision"]
        if os.path.exists(bundle) and not revision.get("bundle_type"):
            self.order["revision"] = dict(revision, bundle_type=type_of(bundle))
        # without a digest, as AWS's agent left it, a bundle counts if it lies where only root can change it
        if os.path.exists(bundle) and (
            revision.get("sha256") or not others_could_change(self.host.deployments, kept + "/" + BUNDLE)
        ):
            HostDeployment._download_bundle(self)
            return
        self._prune()
        reason = why_not_trusted(self.host, kept + "/" + ARCHIVE, all_scripts(self.order["plan"]))
        if reason:
            raise StepFailed("DownloadBundle: " + reason)
        try:
            copy_kept(kept + "/" + ARCHIVE, self.archive)
        except OSError as error:
            raise StepFailed("DownloadBundle: the kept archive cannot be copied: " + why(error)) from None
        write_synced(self.group.most_recent_file, os.fsencode(self.directory), 0o644)

    def _install(self):
        """As ever, but what the undone deployment replaced comes back between clean-up and install."""
        self.order["file_exists_behavior"] = behavior_of_undo(self.order.get("file_exists_behavior"))
        self._clean_up(self._plan().disk)
        for warning in Keeper(self.group, self.order["undo"]).restore():
            self._warn(warning)
        HostDeployment._install(self)


def behavior_of_undo(behavior):
    """Nothing of the user's can be in the way that was not there before: what stands there came later."""
    behavior = (behavior or "").upper()
    return "OVERWRITE" if behavior in ("", "DISALLOW") else behavior


CLEANED_BY = ("ApplicationStop", "Install")  # the events of an undo where nothing ran before


class CleanAway(HostDeployment):
    """Undo where nothing ran before: stops what was installed, removes it, brings back what it replaced."""

    ignores_stop_failures = True
    undone = "cleaned"

    def _events(self):
        self.order["events"] = [event for event in CLEANED_BY if event in self.order["events"]]
        HostDeployment._events(self)

    def _install(self):
        self._clean_up(AfterCleanup(CleanupList(self.group)))
        for warning in Keeper(self.group, self.order["undo"]).restore():
            self._warn(warning)
        for path in (self.group.last_install_file, self.group.most_recent_file, self.group.succeeded_file):
            remove(path)

    def _succeeded(self):
        pass  # nothing runs here now


class NothingToUndo(HostDeployment):
    """Undo of what changed nothing here, or of what this host knows nothing of: says so."""

    def run(self):
        ended = {"outcome": "succeeded", "failed_event": "", "error_code": SUCCESS, "script_name": "", "log": ""}
        ended.update(undone=self.order["undo_kind"], now=self.group.now())
        self.journal.add("finished", message=self.order["nothing"], nothing_to_do=True, **ended)


def deployment_of(order):
    """Which story an order is."""
    if order["do"] != "undo":
        return HostDeployment
    return {"nothing": NothingToUndo, "unknown": NothingToUndo, "clean": CleanAway, "install": HostUndo}[
        order["undo_kind"]
    ]
