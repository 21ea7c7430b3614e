"""The runner out of the connection's reach: in a session or a systemd scope of its own."""

import os
import select
import sys

from towline.host.runner.constants import SYSTEMD_RUNS, UNKNOWN_ERROR
from towline.host.runner.errors import cannot_store
from towline.host.runner.files import remove, write_synced
from towline.host.runner.journal import Journal, Records, with_room
from towline.host.runner.json_binding import dumps, loads
from towline.host.runner.places import Group, Host
from towline.host.runner.process_name import take_own_name
from towline.host.runner.processes import boot_id
from towline.host.runner.quick_signal import signal
from towline.host.runner.recovery import continued_journal, key_of
from towline.host.runner.text import as_name, as_text
from towline.host.runner.tracebacks import traceback_text
from towline.host.runner.undo import deployment_of


class StartedRunner:
    """The detached runner as the connected end knows it: a child, and a pipe by which it says that there is news."""

    def __init__(self, pid, reader):
        self.pid, self.reader = pid, reader
        self.said = b""

    def has_ended(self, seconds=0):
        """Whether it has ended, after at most `seconds`; takes what it has said."""
        while select.select([self.reader], [], [], seconds)[0]:
            data = os.read(self.reader, 65536)
            if not data:
                return True
            self.said = (self.said + data).lstrip(NEWS)
            if not seconds:
                return False
        return False

    def refusal(self):
        """Why it could not begin, `{code, message, hint}`, or None where it did not say."""
        try:
            return loads(self.said.rstrip(NEWS).decode())
        except ValueError:
            return None

    def reap(self):
        """How a runner that has ended did so, in words."""
        status = os.waitpid(self.pid, 0)[1]
        if os.WIFSIGNALED(status):
            return "ended by signal %d" % os.WTERMSIG(status)
        return "with exit status %d" % os.WEXITSTATUS(status)

    def close(self):
        os.close(self.reader)


NEWS = b"."


def start_detached(order, host, lock, host_lock):
    """Starts the runner out of the connection's reach. Returns a StartedRunner; raises OSError where nothing started.
    Our copies of the locks are closed: they are the runner's now."""
    order = {name: value for name, value in order.items() if name != "url"}
    started = None
    if os.path.isdir(SYSTEMD_RUNS) and os.path.isfile(os.path.abspath(__file__)):
        started = start_in_scope(order, host, lock, host_lock)
    if started is None:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            be_detached(order, host, writer)
        os.close(writer)
        started = StartedRunner(pid, reader)
    lock.close()
    host_lock.close()
    return started


# Imported, not run as a script: its compiled form is kept then, and this file is long.
DETACHED = """import sys
sys.path.insert(0, sys.argv[1])
runner = __import__(sys.argv[2])
del sys.path[0]
runner.detached_main(sys.argv[3:])"""


def start_in_scope(order, host, lock, host_lock):
    """Under systemd a service's end takes all its processes along, and a session's end may: so in a scope of its own.
    None where systemd-run does not do it; nothing has begun then."""
    with with_room(host.reserve, handed_over, order, host.state) as handover:
        reader, writer = os.pipe()
        inherited = (handover.fileno(), writer, lock.fd, host_lock.fd)
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                silence_output()
                for fd in inherited:
                    os.set_inheritable(fd, True)
                folder, file = os.path.split(os.path.abspath(__file__))
                own = [sys.executable, "-I", "-S", "-c", DETACHED, folder, os.path.splitext(file)[0]]
                command = ["systemd-run", "--scope", "--quiet", "--collect"] + ([] if os.geteuid() == 0 else ["--user"])
                os.execvp(command[0], [*command, "--", *own, *[str(fd) for fd in inherited]])
            finally:
                os._exit(127)
        os.close(writer)
        # the runner's first sign of life comes before its first step: no sign means that nothing has begun
        if os.read(reader, 1):
            return StartedRunner(pid, reader)
    os.close(reader)
    os.waitpid(pid, 0)
    return None


def handed_over(order, folder):
    """A file without a name that holds the order."""
    import tempfile

    file = tempfile.TemporaryFile(dir=folder)
    try:
        file.write(dumps(order).encode())
        file.flush()
    except OSError:
        file.close()
        raise
    return file


def detached_main(fds):
    """The runner as systemd-run starts it: order, news and locks come as descriptors."""
    take_own_name()
    handover, writer, *locks = [int(fd) for fd in fds]
    for fd in (writer, *locks):
        os.set_inheritable(fd, False)  # scripts must not have them
    os.lseek(handover, 0, os.SEEK_SET)
    with os.fdopen(handover, "rb") as file:
        order = as_name(loads(file.read().decode()))
    be_detached(order, Host(order), writer)


def silence_output():
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)


def be_detached(order, host, writer):
    """The runner itself, in a session of its own. Never returns."""
    status = 1
    try:
        if os.getsid(0) != os.getpid():
            os.setsid()
        silence_output()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.umask(0o022)  # under systemd-run this process has not been through `serve`
        os.chdir("/")
        os.set_blocking(writer, False)
        work(order, host, lambda: notify(writer))
        status = 0
    except BaseException as error:
        write_traceback(host, order)
        say_why(host, order, writer, error)
    finally:
        os._exit(status)


def say_why(host, order, writer, error):
    """A runner that ends before its first record has begun nothing: the connected end refuses the order with this."""
    if Records(host.journal(order["deployment"])).all:
        return
    if isinstance(error, OSError):
        refused = cannot_store(error.filename or host.state, error)
        said = {"code": refused.code, "message": refused.message, "hint": refused.hint}
    else:
        message = "the runner cannot begin: %s: %s" % (type(error).__name__, str(error)[:500])
        said = {"code": "CannotStart", "message": as_text(message), "hint": ""}
    try:
        os.write(writer, dumps(said).encode())
    except OSError:
        pass


def notify(writer):
    """Tells the connected end, if there still is one, that there is news."""
    try:
        os.write(writer, NEWS)
    except OSError:
        pass


def work(order, host, poke):
    """One deployment, from its first journal record to its last."""
    poke()
    deployment = order["deployment"]
    with_room(host.reserve, write_synced, host.working, deployment.encode())
    journal = open_journal(order, host, poke)
    story = deployment_of(order)(order, host, journal)
    try:
        story.run()
    except Exception as error:
        write_traceback(host, order)
        details = {"error_code": UNKNOWN_ERROR, "script_name": "", "log": "", "nothing_to_do": False}
        message = "a fault of the runner: %s: %s" % (type(error).__name__, error)
        event = getattr(story, "event", "")
        journal.add("finished", outcome="failed", failed_event=event, message=message, **details)
    for path in (host.working, host.halt(deployment), host.asked(deployment)):
        remove(path)


def open_journal(order, host, poke):
    """The journal with its first record, or with one more where a dead runner's work goes on."""
    records = Records(host.journal(order["deployment"]))
    process = {"boot_id": boot_id(), "pid": os.getpid()}
    if records.all:
        journal = continued_journal(host, order["deployment"], records, poke)
        journal.add("resumed", **process)
        return journal
    journal = Journal(host.journal(order["deployment"]), poke=poke, reserve=host.reserve)
    revision = order.get("revision")
    shown = {"label": as_text(revision.get("label") or ""), "sha256": revision.get("sha256")} if revision else None
    before = Group(host, order["group"]["id"]).now()
    journal.add("started", key=key_of(order), do=order["do"], revision=shown, before=before, **process)
    return journal


def write_traceback(host, order):
    """A fault of ours: its traceback beside the journal."""
    try:
        write_synced(host.journal(order["deployment"]) + ".trace", traceback_text().encode("utf-8", "replace"))
    except OSError:
        pass
