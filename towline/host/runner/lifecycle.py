"""One deployment on a host, lifecycle event by lifecycle event."""

import os

from towline.host.runner.after_cleanup import AfterCleanup
from towline.host.runner.cleanup import CleanupList, clean_up
from towline.host.runner.constants import ARCHIVE, BUNDLE, MAY_BE_IGNORED, SCRIPT_TIMED_OUT, SUCCESS
from towline.host.runner.errors import Halted, StepFailed, why
from towline.host.runner.file_times import FileTimes
from towline.host.runner.files import write_json, write_synced
from towline.host.runner.hooks import Hooks
from towline.host.runner.install_plan import InstallPlan
from towline.host.runner.install_record import History
from towline.host.runner.installer import Installer
from towline.host.runner.journal import with_room
from towline.host.runner.places import Group
from towline.host.runner.replaced_files import Keeper
from towline.host.runner.retention import prune
from towline.host.runner.sources import OnDisk
from towline.host.runner.stop_signals import StopSignals
from towline.host.runner.text import as_text
from towline.host.runner.unpacking import unpack


class HostDeployment:
    """One deployment on this host, from its first event to its last; in the detached runner, holding both locks."""

    ignores_stop_failures = False
    undone = ""  # what an undo that succeeds has done

    def __init__(self, order, host, journal):
        self.order, self.host, self.journal = order, host, journal
        self.id = order["deployment"]
        self.limits = order.get("limits") or {}
        self.group = Group(host, order["group"]["id"])
        self.directory = host.deployment(self.group.id, self.id)
        self.archive = self.directory + "/" + ARCHIVE
        self.stop_signals = StopSignals(host, self.id, self.limits)
        self.hooks = Hooks(self, self._warn)
        self.times = None  # of installed files
        if order.get("ignore_application_stop_failures"):
            self.ignores_stop_failures = True

    # -- the story

    def run(self):
        """Goes through the events and writes `finished`, whatever happens."""
        ended = {"outcome": "succeeded", "failed_event": "", "error_code": SUCCESS, "script_name": ""}
        ended.update(message="", log="", nothing_to_do=False)
        try:
            self._events()
            self._succeeded()
            if self.undone:
                ended["undone"] = self.undone
        except StepFailed as failed:
            ended.update(outcome="failed", failed_event=self.event, error_code=failed.code)
            ended.update(script_name=failed.script, message=failed.message, log=failed.log)
        except Halted as halted:
            ended.update(outcome="interrupted" if halted.in_script else "stopped", message=halted.message)
            ended.update(failed_event=self.event if halted.in_script else "")
        self.journal.add("finished", now=self.group.now(), **ended)

    def _events(self):
        ended = {record["event"] for record in self.journal.earlier if record.get("kind") == "event_ended"}
        events = [event for event in self.order["events"] if event not in ended]
        while events:
            self.event = events.pop(0)
            self._boundary(events)
            try:
                self._event()
            except StepFailed:
                if not (self.event in MAY_BE_IGNORED and self.ignores_stop_failures):
                    self._skip(events)
                    raise
            except Halted:
                self._skip(events)
                raise

    def _boundary(self, later):
        reason = self.stop_signals.reason()
        if reason:
            self._skip([self.event, *later])
            raise Halted(self.stop_signals.message(reason))
        if self.stop_signals.is_late():
            self._skip([self.event, *later])
            raise StepFailed("the deployment's time was over before %s" % self.event, SCRIPT_TIMED_OUT)

    def _skip(self, events):
        for event in events:
            self._ended(event, "Skipped", sync=False, noop=True)

    def _event(self):
        """Runs one event between its two records; raises what the event raised."""
        actions = {"DownloadBundle": self._download_bundle, "Install": self._install}
        action = actions.get(self.event)
        # the records of an event that runs nothing are synced with the next that matters
        scripts, archive = (None, None) if action else self.hooks.scripts_of(self.event)
        self.journal.add("event_started", sync=bool(action), event=self.event)
        try:
            if action:
                guarded(action)
            elif scripts:
                self.hooks.run(self.event, scripts, archive)
        except StepFailed as failed:
            details = {"error_code": failed.code, "script_name": failed.script, "message": failed.message}
            self._ended(self.event, "Failed", log=failed.log, **details)
            raise
        except Halted as halted:
            self._ended(self.event, "Failed", message=halted.message)
            raise
        self._ended(self.event, "Succeeded", sync=bool(action or scripts), noop=not (action or scripts))

    def _ended(self, event, status, sync=True, noop=False, error_code=SUCCESS, script_name="", message="", log=""):
        fields = {"event": event, "status": status, "noop": noop, "error_code": error_code}
        self.journal.add("event_ended", sync=sync, script_name=script_name, message=message, log=log, **fields)

    def _warn(self, message):
        self.journal.add("warning", sync=False, event=self.event, message=message)

    def _succeeded(self):
        """Our own pointer: what undo goes back to. Written before `finished`, so that one implies the other."""
        revision = self.order.get("revision") or {}
        record = {"deployment": self.id, "label": revision.get("label") or "", "sha256": revision.get("sha256")}
        if "Install" in self.order["events"]:
            try:
                with_room(self.host.reserve, write_json, self.group.succeeded_file, record)
            except OSError as error:
                message = "every event succeeded, but %s, which undo relies on, cannot be written: %s"
                raise StepFailed(message % (as_text(self.group.succeeded_file), why(error))) from None

    # -- DownloadBundle and Install

    def _prune(self):
        for warning in prune(self.host, self.group, self.directory, self.limits):
            self._warn(warning)

    def _download_bundle(self):
        """The archive is on this host already: here it is unpacked, and the oldest ones go."""
        self._prune()
        bundle = self.directory + "/" + BUNDLE
        revision = self.order["revision"]
        limits = self.limits
        if revision.get("unpacked_bytes"):  # counted by the same reader, when the archive was checked
            # twice, since a member's announced size is compared with what is left behind bytes that were read ahead
            limits = dict(limits, unpacked_bytes=2 * revision["unpacked_bytes"])
        for warning in unpack(bundle, revision["bundle_type"], self.archive, limits):
            self._warn(warning)
        write_synced(self.group.most_recent_file, os.fsencode(self.directory), 0o644)

    def _plan(self):
        """The plan of this Install, with the times of files chosen while the old ones are there."""
        disk = AfterCleanup(CleanupList(self.group))
        behavior, history = self.order.get("file_exists_behavior"), History(self.group, self.directory)
        plan = InstallPlan(self.host, self.order["plan"], OnDisk(self.archive), behavior, disk, history)
        if self.times is None:
            self.times = FileTimes(self.group)
        self.times.choose(plan)
        return plan

    def _clean_up(self, disk):
        for warning in clean_up(self.group, disk):
            self._warn(warning)

    def _install(self):
        """Plans against the disk as it will be, then cleans up, then applies: what can be known is known before."""
        plan = self._plan()
        for warning in plan.warnings:
            self._warn(warning)
        self._clean_up(plan.disk)
        Installer(plan, self.group, Keeper(self.group, self.id), self.times).run()
        self.times.remember()
        write_synced(self.group.last_install_file, os.fsencode(self.directory), 0o644)


def guarded(action):
    """Runs a built-in event; what the operating system refuses is the event's failure."""
    try:
        action()
    except OSError as error:
        place = " (%s)" % as_text(error.filename) if error.filename else ""
        raise StepFailed("%s%s" % (why(error), place)) from None
