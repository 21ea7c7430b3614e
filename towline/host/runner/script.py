"""Runs one hook script: started behind a gate, watched, ended with all that it started."""

import errno
import os
import select
import time

from towline.host.runner.constants import OPEN_OUTPUT_GRACE, SCRIPT_FAILED, TERM_TO_KILL
from towline.host.runner.errors import StepFailed
from towline.host.runner.processes import alive, family, kill_all, process, send_signal
from towline.host.runner.quick_signal import signal
from towline.host.runner.text import as_text
from towline.host.runner.tools import find_tool


class HookScript:
    """One hook script: started behind a gate, watched, and ended with everything that it started if need be.

    `watch()` is called often while it runs; it may return a reason to end the script.
    """

    def __init__(self, command, environment, directory):
        self.command, self.environment, self.directory = command, environment, directory
        self.pid = 0
        self.start_time = 0
        self.status = None

    def fork(self):
        """Starts the process; it waits at the gate, and ends if we do before opening it."""
        gate_out, self.gate = os.pipe()
        self.errors, errors_in = os.pipe()
        self.out, out_in = os.pipe()
        self.err, err_in = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.gate)
            self._child(gate_out, errors_in, out_in, err_in)
        for fd in (gate_out, errors_in, out_in, err_in):
            os.close(fd)
        self.start_time = (process(self.pid) or (0, 0, 0))[2]

    def _child(self, gate, errors, out, err):
        """In the child: waits for the word, then becomes the script. Never returns."""
        try:
            os.setsid()
            nothing = os.open("/dev/null", os.O_RDONLY)
            for fd, number in ((nothing, 0), (out, 1), (err, 2)):
                os.dup2(fd, number)
            for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            if hasattr(signal, "SIGXFSZ"):
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            os.chdir(self.directory)
            if not os.read(gate, 1):
                os._exit(126)
            self._execute()
        except OSError as error:
            os.write(errors, ("%d" % error.errno).encode())
        finally:
            os._exit(127)

    def _execute(self):
        try:
            os.execvpe(self.command[0], self.command, self.environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # no #! line: the shell's business, as the agent leaves it to
            os.execve("/bin/sh", ["/bin/sh", *self.command], self.environment)

    def release(self):
        """Opens the gate. Returns None once the script runs, or why it cannot."""
        os.write(self.gate, b"1")
        os.close(self.gate)
        word = os.read(self.errors, 16)
        os.close(self.errors)
        return OSError(int(word), os.strerror(int(word))) if word else None

    def end(self):
        """Ends it with all that it has started, unless it has ended already: what it left behind then lives on."""
        if self.status is None:
            kill_all(self.pid, family(self.pid))
            self.status = os.waitpid(self.pid, 0)[1]

    def follow(self, log, deadline, watch):
        """Reads what it writes until it has ended. Returns (reason it was ended or None, output left open)."""
        return Following(self, log, deadline, watch).run()


class Following:
    """The life of one script after its start."""

    def __init__(self, script, log, deadline, watch):
        self.script, self.log, self.deadline, self.watch = script, log, deadline, watch
        self.streams = {script.out: [b"[stdout]", b""], script.err: [b"[stderr]", b""]}
        self.poll = select.poll()
        self.reason = None
        self.members = {}
        self.kill_at = self.grace_at = None

    def run(self):
        woken, waker = os.pipe()
        for fd in (woken, waker):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        before = signal.set_wakeup_fd(waker)
        try:
            for fd in (woken, *self.streams):
                self.poll.register(fd, select.POLLIN)
            while not self._over():
                self._read(woken)
                self._act()
            return self.reason, self._leave_open()
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (woken, waker, *self.streams):
                os.close(fd)

    def _over(self):
        self._reap()
        if self.script.status is None:
            return False
        if self.reason:
            # a last look for what a trap may have started in the meantime
            if not alive(self.members):
                self.members = family(self.script.pid)
            return not self.members
        return not self.streams or time.monotonic() >= self.grace_at

    def _reap(self):
        if self.script.status is None:
            pid, status = os.waitpid(self.script.pid, os.WNOHANG)
            if pid:
                self.script.status = status
                self.grace_at = time.monotonic() + OPEN_OUTPUT_GRACE

    def _read(self, woken):
        # 0.25 s: how soon a request to stop is seen; ends of processes and output wake us at once
        wait = 0.05 if self.reason or self.script.status is not None else 0.25
        wait = max(0.0, min(wait, self.deadline - time.monotonic())) if not self.reason else wait
        for fd, _ in self.poll.poll(int(wait * 1000) + 1):
            if fd == woken:
                try:
                    os.read(woken, 512)
                except BlockingIOError:
                    pass
            elif fd in self.streams:
                self._read_stream(fd)

    def _read_stream(self, fd):
        tag, rest = self.streams[fd]
        data = os.read(fd, 65536)
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        entries = [tag + line + b"\n" for line in lines]
        if rest and (not data or len(rest) > 1 << 20):
            entries.append(tag + rest)  # the end of the output, or a line without end
            rest = b""
        self.streams[fd][1] = rest
        if entries:
            self.log.add(*entries)
        if not data:
            self.poll.unregister(fd)
            os.close(fd)
            del self.streams[fd]

    def _act(self):
        now = time.monotonic()
        if not self.reason:
            if self.script.status is None:
                self.reason = "timeout" if now >= self.deadline else self.watch()
            if self.reason:
                self.members = family(self.script.pid)
                send_signal(self.members, signal.SIGTERM)
                self.kill_at = now + TERM_TO_KILL
        elif now >= self.kill_at:
            kill_all(self.script.pid, self.members)
            self.kill_at = now + 1

    def _leave_open(self):
        """What a child still writes to is read on by a process of its own: a daemon must not die of its output."""
        left = [tag for tag, _ in self.streams.values()]
        if self.reason:
            return []
        for fd, (tag, rest) in self.streams.items():
            if rest:
                self.log.add(tag + rest)
            read_on(fd)
        return [as_text(tag).strip("[]") for tag in left]


def read_on(fd):
    """A small process that reads to the end and forgets."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        if os.fork() == 0:
            os.setsid()
            os.dup2(fd, 0)
            nothing = os.open("/dev/null", os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            os.chdir("/")
            os.execvpe("cat", ["cat"], {"PATH": os.environ.get("PATH", os.defpath)})
    finally:
        os._exit(0)


def command_of(script, path):
    """The command line of a script; `su` and `sudo` as the agent uses them, but names are quoted."""
    user = script.get("runas")
    if user is not None and os.geteuid() != 0:
        import pwd

        if not user or user == pwd.getpwuid(os.geteuid()).pw_name:
            user = None
        elif not script.get("sudo"):
            raise StepFailed(
                "Script at specified location: %s cannot run as user %s: the runner is not root"
                % (as_text(script["location"]), as_text(user)),
                SCRIPT_FAILED,
                as_text(script["location"]),
            )
    command = [path]
    if user is not None:
        import shlex

        command = ["su"] + ([user] if user else []) + ["-c", shlex.quote(path)]
    return ["sudo", *command] if script.get("sudo") else command


def why_not_run(path, location):
    """Why a script could not be run, in words that go on a message; empty where neither first line nor mount tell."""
    try:
        if os.statvfs(path).f_flag & os.ST_NOEXEC:
            return ": it lies on a file system that is mounted noexec (see mount; deploymentRoot can be moved)"
        with open(path, "rb") as file:
            line = file.readline(512)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return ""
    if line.rstrip(b"\n").endswith(b"\r"):
        return ": the first line of %s ends with CR LF; save it with Unix line ends (dos2unix)" % location
    words = line[2:].split()
    if words and not os.path.exists(words[0]):
        return ": the first line of %s names %s, which is not on this host" % (location, as_text(words[0]))
    if len(words) == 2 and words[0].endswith(b"/env") and not find_tool(os.fsdecode(words[1])):
        return ": the first line of %s names %s, which is not in PATH" % (location, as_text(words[1]))
    return ""


def runas(script):
    return "" if script.get("runas") is None else " run as user " + as_text(script["runas"])
