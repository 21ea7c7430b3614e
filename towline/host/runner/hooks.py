"""The scripts of a deployment's lifecycle events: which run, from which archive, in which environment."""

import os
import stat
import time

from towline.host.runner.constants import (
    ARCHIVE,
    DEFAULT_LOG_BYTES,
    EVENT_SECONDS,
    HOOK_EVENTS,
    KEPT_PLAN,
    OF_LAST_INSTALL,
    SCRIPT_FAILED,
    SCRIPT_MISSING,
    SCRIPT_NOT_EXECUTABLE,
    SCRIPT_TIMED_OUT,
)
from towline.host.runner.environment import own_environment, profile_environment
from towline.host.runner.errors import Halted, StepFailed, why
from towline.host.runner.files import read_json
from towline.host.runner.kept_scripts import why_not_trusted
from towline.host.runner.limits import in_seconds
from towline.host.runner.script import HookScript, command_of, runas, why_not_run
from towline.host.runner.script_log import ScriptLog
from towline.host.runner.text import as_text, join


class Hooks:
    """The hooks of one deployment. `warn` takes a text for the journal."""

    def __init__(self, deployment, warn):
        self.order, self.host, self.journal = deployment.order, deployment.host, deployment.journal
        self.deployment_id, self.group, self.limits = deployment.id, deployment.group, deployment.limits
        self.directory, self.archive = deployment.directory, deployment.archive
        self.stop_signals, self.warn = deployment.stop_signals, warn
        self.event = ""
        self._environment = None

    def scripts_of(self, event):
        """(scripts, archive that they lie in) of an event; no scripts where there are none to run."""
        if event not in HOOK_EVENTS:
            return [], None
        directory = self._directory_of(event)
        if directory is None:
            return [], None
        if directory == self.directory:
            plan = self.order.get("plan") or {}
        elif not os.path.isdir(directory + "/" + ARCHIVE):
            self.warn(
                "the archive of the last installed deployment is gone (%s): its scripts cannot run" % as_text(directory)
            )
            return [], None
        else:
            plan = (read_json(directory + "/" + KEPT_PLAN) or {}).get("plan") or {}
        return (plan.get("hooks") or {}).get(event) or [], directory + "/" + ARCHIVE

    def _directory_of(self, event):
        """Whose scripts run: until this deployment's archive is unpacked, those of the last install for some events."""
        if os.path.isdir(self.archive):
            return self.directory
        blue_green_back = self.order.get("creator") == "codeDeployRollback" and self.order.get("type") == "BLUE_GREEN"
        if blue_green_back and event in ("BeforeBlockTraffic", "AfterBlockTraffic"):
            return self.group.most_recent()
        if blue_green_back and event in ("BeforeAllowTraffic", "AfterAllowTraffic"):
            return self.group.last_install()
        return self.group.last_install() if event in OF_LAST_INSTALL else self.directory

    def run(self, event, scripts, archive):
        """Runs the scripts of an event in order. Raises StepFailed and Halted."""
        self.event = event
        path = self.host.script_log(self.group.id, self.deployment_id)
        log = ScriptLog(path, self.deployment_id, self.limits.get("log_bytes") or DEFAULT_LOG_BYTES, self.journal.poke)
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
                self.warn("the script log is not whole, it cannot be written: %s" % log.trouble)

    def _hook(self, script, index, archive, log, event_ends):
        location = as_text(script["location"])
        path = join(archive, script["location"])
        reason = "" if archive == self.archive else why_not_trusted(self.host, archive, [script])
        if reason:
            raise StepFailed(reason, SCRIPT_NOT_EXECUTABLE, location)
        self._make_executable(path, location)
        command = command_of(script, path)
        log.add(b"Script - " + os.fsencode(script["location"]) + b"\n")
        running = HookScript(command, self._environment_of_script(), self.host.root or "/")
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
            self.warn(
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

    def _environment_of_script(self):
        if self._environment is None:
            environment = own_environment()
            if self.order.get("profile", not self.host.root):
                environment, trouble = profile_environment(self.stop_signals.reason_now)
                if self.stop_signals.reason_now():
                    raise Halted(self.stop_signals.message("now"))
                if trouble:
                    self.warn(trouble)
            group = self.order["group"]
            environment.update(DEPLOYMENT_ID=self.deployment_id, DEPLOYMENT_GROUP_ID=group["id"])
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
