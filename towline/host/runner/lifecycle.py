"""One deployment on a host, lifecycle event by lifecycle event."""

import os
import stat
import time

from towline.host.runner.after_cleanup import AfterCleanup
from towline.host.runner.cleanup import CleanupList, clean_up
from towline.host.runner.constants import (
    ARCHIVE,
    BUNDLE,
    DEFAULT_LOG_BYTES,
    EVENT_SECONDS,
    HOOK_EVENTS,
    KEPT_PLAN,
    MAY_BE_IGNORED,
    OF_LAST_INSTALL,
    SCRIPT_FAILED,
    SCRIPT_MISSING,
    SCRIPT_NOT_EXECUTABLE,
    SCRIPT_TIMED_OUT,
    SUCCESS,
)
from towline.host.runner.environment import own_environment, profile_environment
from towline.host.runner.errors import Halted, StepFailed, why
from towline.host.runner.file_times import FileTimes
from towline.host.runner.files import read_json, write_json, write_synced
from towline.host.runner.install_plan import InstallPlan
from towline.host.runner.install_record import History
from towline.host.runner.installer import Installer
from towline.host.runner.journal import with_room
from towline.host.runner.kept_scripts import why_not_trusted
from towline.host.runner.limits import in_seconds
from towline.host.runner.places import Group
from towline.host.runner.replaced_files import Keeper
from towline.host.runner.retention import prune
from towline.host.runner.script import HookScript, command_of, runas, why_not_run
from towline.host.runner.script_log import ScriptLog
from towline.host.runner.sources import OnDisk
from towline.host.runner.stop_signals import StopSignals
from towline.host.runner.text import as_text, join
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
        self._environment = None
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
        scripts, archive = (None, None) if action else self._scripts_of_event()
        self.journal.add("event_started", sync=bool(action), event=self.event)
        try:
            if action:
                guarded(action)
            elif scripts:
                self._hooks(scripts, archive)
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

    # -- hooks

    def _scripts_of_event(self):
        """(scripts, archive that they lie in) of this event; no scripts where there are none to run."""
        if self.event not in HOOK_EVENTS:
            return [], None
        directory = self._directory_of_event()
        if directory is None:
            return [], None
        if directory == self.directory:
            plan = self.order.get("plan") or {}
        elif not os.path.isdir(directory + "/" + ARCHIVE):
            self._warn(
                "the archive of the last installed deployment is gone (%s): its scripts cannot run" % as_text(directory)
            )
            return [], None
        else:
            plan = (read_json(directory + "/" + KEPT_PLAN) or {}).get("plan") or {}
        return (plan.get("hooks") or {}).get(self.event) or [], directory + "/" + ARCHIVE

    def _directory_of_event(self):
        """Whose scripts run: until this deployment's archive is unpacked, those of the last install for some events."""
        if os.path.isdir(self.archive):
            return self.directory
        blue_green_back = self.order.get("creator") == "codeDeployRollback" and self.order.get("type") == "BLUE_GREEN"
        if blue_green_back and self.event in ("BeforeBlockTraffic", "AfterBlockTraffic"):
            return self.group.most_recent()
        if blue_green_back and self.event in ("BeforeAllowTraffic", "AfterAllowTraffic"):
            return self.group.last_install()
        return self.group.last_install() if self.event in OF_LAST_INSTALL else self.directory

    def _hooks(self, scripts, archive):
        path = self.host.script_log(self.group.id, self.id)
        log = ScriptLog(path, self.id, self.limits.get("log_bytes") or DEFAULT_LOG_BYTES, self.journal.poke)
        ends = time.monotonic() + in_seconds(self.limits.get("event"), EVENT_SECONDS)
        try:
            log.add(("LifecycleEvent - %s\n" % self.event).encode())
            for index, script in enumerate(scripts):
                reason = self.stop_signals.reason() if index else None
                if reason:
                    raise Halted(self.stop_signals.message(reason), in_script=True)
                self._hook(script, index, archive, log, ends)
        except StepFailed as failed:
            failed.log = log.tail()
            raise
        finally:
            log.close()
            if log.trouble:
                self._warn("the script log is not whole, it cannot be written: %s" % log.trouble)

    def _hook(self, script, index, archive, log, event_ends):
        location = as_text(script["location"])
        path = join(archive, script["location"])
        reason = "" if archive == self.archive else why_not_trusted(self.host, archive, [script])
        if reason:
            raise StepFailed(reason, SCRIPT_NOT_EXECUTABLE, location)
        self._make_executable(path, location)
        command = command_of(script, path)
        log.add(b"Script - " + os.fsencode(script["location"]) + b"\n")
        running = HookScript(command, self._environment_of_event(), self.host.root or "/")
        try:
            running.fork()
        except OSError as error:
            message = "Script at specified location: %s could not be started: %s (ulimit -u, pids.max, free memory)"
            raise StepFailed(message % (location, why(error)), SCRIPT_FAILED, location) from None
        try:
            self._attend(running, script, index, path, log, event_ends)
        except BaseException:
            running.end()  # nothing runs on that nobody watches, whatever has failed here
            raise

    def _attend(self, running, script, index, path, log, event_ends):
        """Lets a script go that waits at its gate, and follows it to its end."""
        location = as_text(script["location"])
        name = {"event": self.event, "script": location, "index": index}
        self.journal.add("script_started", pid=running.pid, start_time=running.start_time, **name)
        failed = running.release()
        if failed:
            running.status = os.waitpid(running.pid, 0)[1]
            self.journal.add("script_ended", exit=None, signal=None, **name)
            message = "Script at specified location: %s%s failed with error %s" % (location, runas(script), why(failed))
            message += why_not_run(path, location)
            raise StepFailed(message, SCRIPT_FAILED, location)
        timeout = in_seconds(script.get("timeout"), EVENT_SECONDS)
        deadline = min(time.monotonic() + timeout, event_ends, self.stop_signals.deadline)
        reason, left_open = running.follow(log, deadline, self.stop_signals.reason_now)
        self._hook_ended(script, name, running, reason, left_open, timeout, path)

    def _hook_ended(self, script, name, running, reason, left_open, timeout, path):
        killed = os.WIFSIGNALED(running.status)
        code = None if killed else os.WEXITSTATUS(running.status)
        self.journal.add("script_ended", exit=code, signal=os.WTERMSIG(running.status) if killed else None, **name)
        location = name["script"]
        if reason == "timeout":
            message = "Script at specified location: %s failed to complete in %d seconds" % (location, timeout)
            raise StepFailed(message, SCRIPT_TIMED_OUT, location)
        if reason:
            raise Halted(self.stop_signals.message(reason), in_script=True)
        if left_open:
            self._warn(
                "%s has ended, but a process that it started keeps its %s open; start daemons with "
                ">/dev/null 2>&1 </dev/null (AWS's agent fails such an event)" % (location, " and ".join(left_open))
            )
        if code != 0:
            shown = "(it was ended by signal %d)" % os.WTERMSIG(running.status) if killed else str(code)
            message = "Script at specified location: %s%s failed with exit code %s" % (location, runas(script), shown)
            if code in (126, 127):  # what a shell says of a program that it cannot run
                message += why_not_run(path, location)
            raise StepFailed(message, SCRIPT_FAILED, location)

    def _make_executable(self, path, location):
        """The agent's checks: there it must be; without any x bit it gets all three, in the archive."""
        if not os.path.exists(path):
            message = "Script does not exist at specified location: " + as_text(os.path.normpath(path))
            raise StepFailed(message, SCRIPT_MISSING, location)
        if not os.access(path, os.X_OK):
            try:
                os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o111)
            except OSError:
                message = "Unable to set script at specified location: %s as executable" % location
                raise StepFailed(message, SCRIPT_NOT_EXECUTABLE, location) from None

    def _environment_of_event(self):
        if self._environment is None:
            environment = own_environment()
            if self.order.get("profile", not self.host.root):
                environment, trouble = profile_environment(self.stop_signals.reason_now)
                if self.stop_signals.reason_now():
                    raise Halted(self.stop_signals.message("now"))
                if trouble:
                    self._warn(trouble)
            group = self.order["group"]
            environment.update(DEPLOYMENT_ID=self.id, DEPLOYMENT_GROUP_ID=group["id"])
            environment.update(APPLICATION_NAME=group["application"], DEPLOYMENT_GROUP_NAME=group["name"])
            for name, value in ((self.order.get("revision") or {}).get("env") or {}).items():
                if value is None:
                    environment.pop(name, None)
                else:
                    environment[name] = value
            if self.host.root:
                environment["TOWLINE_ROOT"] = self.host.root
            self._environment = environment
        return dict(self._environment, LIFECYCLE_EVENT=self.event)


def guarded(action):
    """Runs a built-in event; what the operating system refuses is the event's failure."""
    try:
        action()
    except OSError as error:
        place = " (%s)" % as_text(error.filename) if error.filename else ""
        raise StepFailed("%s%s" % (why(error), place)) from None
