"""The runner: does one deployment's work on a host, writes each step down before it begins, and tells what happened.

It is sent to hosts as this one file and started as `python3 -I -S runner.py`: Python 3.6 or newer, standard library
only. Its order comes on standard input, its events go to standard output: docs/host-protocol.md. What it does to
a host, and where it differs from AWS's agent: docs/on-the-host.md. It knows no Temporal, no API and no other host.

Sections, in order: values and errors · places and synced writes · locks · journal · processes · archive · clean-up and
kept files · install planning · install applying · hooks · lifecycle · undo · recovery · inventory, plan, check, logs ·
the wire · the connected end · main. Modules that only some orders need are imported where they are used: a start costs
what it needs.
"""

import errno
import fcntl
import os
import select
import stat
import sys
import time

try:
    # The C half: the module adds only enums, and loading those takes as long as two hooks.
    import _signal as signal  # type: ignore[import-not-found]
except ImportError:
    import signal

# ---------------------------------------------------------------------------------------------- values and errors

VERSION = 1
DEPLOYMENT_ROOT = "/opt/codedeploy-agent/deployment-root"
STATE_DIR = "/var/lib/towline"
SYSTEMD_RUNS = "/run/systemd/system"
ARCHIVE = "deployment-archive"
BUNDLE = "bundle.tar"  # the agent's name for every type
KEPT_PLAN = "plan.json"

# The agent's numbers of errors (its ScriptError), and the two beyond the five that CodeDeploy has names for.
SUCCESS, SCRIPT_MISSING, SCRIPT_NOT_EXECUTABLE, SCRIPT_TIMED_OUT, SCRIPT_FAILED, UNKNOWN_ERROR = range(6)
FAILED_AFTER_RESTART = 7

HOOK_EVENTS = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "BeforeInstall",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
OF_LAST_INSTALL = ("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop")
MAY_BE_IGNORED = OF_LAST_INSTALL  # by ignore_application_stop_failures, as the service does it, and by undo

LOG_TAIL = 2048  # characters, as the agent
LONG_LINE = 1000  # what is left in the tail of a line that would empty it
OPEN_OUTPUT_GRACE = 0.5  # seconds that a child may keep a hook's output open after the hook has ended
TERM_TO_KILL = 5.0
EVENT_SECONDS = 3600
REPLY_SECONDS = 120
PROFILE_SECONDS = 30
DEFAULT_LOG_BYTES = 64 * 1024 * 1024
DEFAULT_MEMBERS = 1000000
UNPACKED_FLOOR = 1024 * 1024 * 1024  # an archive may always unpack to this, above it to so many times its size:
UNPACKED_RATIO = 100
CHUNK = 64 * 1024
HTTP_SECONDS = 60
BETWEEN_MESSAGES = 0.1  # seconds: what happens meanwhile is told at once, since each message wakes four processes
RESERVE_BYTES = 128 * 1024  # kept free, so that a journal has an end also where the disk has filled up
RESERVE_PIECE = 8 * 1024  # given up at once: what fills the disk takes what it can get
FULL = (errno.ENOSPC, errno.EDQUOT)
NAME_ENCODING = sys.getfilesystemencoding()


class Refused(Exception):
    """Nothing was begun: the order cannot be taken here."""

    def __init__(self, code, message, hint=""):
        Exception.__init__(self, message)
        self.code, self.message, self.hint = code, message, hint


class StepFailed(Exception):
    """A lifecycle event failed. `code` is the agent's number, `log` the tail of the event's script log."""

    def __init__(self, message, code=UNKNOWN_ERROR, script="", log=""):
        Exception.__init__(self, message)
        self.message, self.code, self.script, self.log = message, code, script, log


class Halted(Exception):
    """Somebody asked to stop, or nobody asks any more. `in_script`: a running hook was ended for it."""

    def __init__(self, message, in_script=False):
        Exception.__init__(self, message)
        self.message, self.in_script = message, in_script


class Gone(Exception):
    """The caller has left the connection; the work goes on without it."""


def is_id(text):
    """Whether `text` may be part of a path: a deployment id or a group id."""
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    if not isinstance(text, str) or not 0 < len(text) <= 128 or text[0] not in plain:
        return False
    return all(letter in plain or letter in "._-" for letter in text)


def as_name(value):
    """JSON to what `os` takes: where Python was started in an ASCII locale, text turns to escaped bytes, deeply."""
    if NAME_ENCODING.lower().replace("-", "") == "utf8":
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode(NAME_ENCODING, "surrogateescape")
    if isinstance(value, list):
        return [as_name(item) for item in value]
    if isinstance(value, dict):
        return {as_name(key): as_name(item) for key, item in value.items()}
    return value


def as_text(name):
    """A path or a message as text that any JSON reader takes: bytes that are no UTF-8 become U+FFFD."""
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    try:
        return name.encode(NAME_ENCODING, "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "replace").decode("utf-8")


def quick_json():
    """(loads, dumps) of the json module by its C half alone; raises anything where this Python has another.

    The module needs `re` for what the C half does itself, and with that takes a quarter of the runner's start.
    """
    import _json

    class Rules:
        strict, object_hook, object_pairs_hook, memo = True, None, None, {}
        parse_float, parse_int, parse_constant = float, int, float

    def refuse(value):
        raise TypeError("%r cannot be JSON" % (value,))

    scan = _json.make_scanner(Rules)
    settings = (None, refuse, _json.encode_basestring_ascii, None, ": ", ", ")
    encoders = {sort_keys: _json.make_encoder(*settings, sort_keys, False, True) for sort_keys in (False, True)}

    def loads(text):
        try:
            value, end = scan(text, len(text) - len(text.lstrip(" \t\r\n")))
        except StopIteration:
            raise ValueError("a value is missing") from None
        if text[end:].strip(" \t\r\n"):
            raise ValueError("more than one value: char %d" % end)
        return value

    def dumps(value, sort_keys=False):
        return "".join(encoders[sort_keys](value, 0))

    loads(dumps({"a": [1, 2.5, None, True, "\u00e9"]}))
    return loads, dumps


try:
    loads, dumps = quick_json()
except Exception:
    from json import dumps, loads


def why(error):
    """An OSError in a few words, without Python's number."""
    return error.strerror or str(error)


def cannot_store(what, error):
    """The refusal of an order for which the host cannot keep what it must."""
    if error.errno in FULL:
        hint = "Make room on the host (df -h), then deploy again."
    elif error.errno == errno.EROFS:
        hint = "Its file system is read-only: see `dmesg` and /etc/fstab on the host."
    else:
        hint = ""
    return Refused("CannotStore", "%s cannot be written: %s" % (as_text(what), why(error)), hint)


# ------------------------------------------------------------------------------------- places and synced writes


class Host:
    """Where things lie on this host. Every path is below the order's `root`, which is empty on a real host."""

    def __init__(self, order):
        self.root = (order.get("root") or "").rstrip("/")
        self.deployments = self.at(order.get("deployment_root") or DEPLOYMENT_ROOT)
        self.state = self.at(order.get("state_dir") or STATE_DIR)
        self.instructions = self.deployments + "/deployment-instructions"
        self.working = self.state + "/working"
        self.reserve = self.state + "/reserve"

    def at(self, path):
        """The place of a path of this host. A relative one counts from `/`; `..` never climbs above the root."""
        return (self.root + os.path.normpath("/" + path.lstrip("/"))).rstrip("/") or "/"

    def make(self):
        """Makes the runner's own directories; raises Refused where it may not."""
        try:
            for path in (self.root, self.deployments, self.instructions):
                if path:
                    os.makedirs(path, 0o755, exist_ok=True)
            if not os.path.isdir(self.state + "/groups"):
                os.makedirs(os.path.dirname(self.state), 0o755, exist_ok=True)
                for name in ("", "/locks", "/journals", "/halt", "/asked", "/kept", "/groups"):
                    make_private(self.state + name)
            owner = os.stat(self.state).st_uid
        except OSError as error:
            if error.errno in (*FULL, errno.EROFS):
                raise cannot_store(error.filename or self.state, error) from None
            place = as_text(error.filename or self.state)
            raise Refused(
                "NotPermitted", "cannot make %s: %s" % (place, why(error)), "Run as root, or give a root."
            ) from None
        if owner != os.geteuid():
            message = "%s belongs to user id %d, the runner is %d" % (as_text(self.state), owner, os.geteuid())
            raise Refused("NotPermitted", message, "Run the runner as the owner of that directory.")

    def lock(self, name):
        return self.state + "/locks/" + name

    def journal(self, deployment):
        return self.state + "/journals/" + deployment + ".jsonl"

    def halt(self, deployment):
        return self.state + "/halt/" + deployment

    def asked(self, deployment):
        return self.state + "/asked/" + deployment

    def deployment(self, group, deployment):
        return "%s/%s/%s" % (self.deployments, group, deployment)

    def script_log(self, group, deployment):
        return self.deployment(group, deployment) + "/logs/scripts.log"


class Group:
    """The files of one deployment group: the agent's clean-up list and pointers, and our own record."""

    def __init__(self, host, group):
        self.host, self.id = host, group
        base = host.instructions + "/" + group
        self.cleanup = base + "-cleanup"
        self.last_install_file = base + "_last_successful_install"
        self.most_recent_file = base + "_most_recent_install"
        self.succeeded_file = host.state + "/groups/" + group + ".json"
        self.kept = host.state + "/kept/" + group

    def last_install(self):
        """The directory of the last deployment whose Install ended well, or None."""
        return read_pointer(self.last_install_file)

    def most_recent(self):
        """The directory of the last deployment whose archive was unpacked, or None."""
        return read_pointer(self.most_recent_file)

    def installed(self):
        """`{deployment, label, sha256}` of the last install, or None."""
        directory = self.last_install()
        return describe(directory) if directory else None

    def succeeded(self):
        """The same of the last deployment that succeeded. AWS's agent has no such record: its last install counts."""
        record = read_json(self.succeeded_file)
        if record is not None:
            return {key: record.get(key) for key in ("deployment", "label", "sha256")}
        directory = self.last_install()
        kept = read_json(directory + "/" + KEPT_PLAN) if directory else None
        if directory and (kept is None or kept.get("of_aws_agent")):
            return describe(directory)
        return None

    def succeeded_directory(self):
        """The directory of what `succeeded` tells, or None."""
        succeeded = self.succeeded()
        return self.host.deployment(self.id, succeeded["deployment"]) if succeeded else None


def describe(directory):
    """`{deployment, label, sha256}` of a deployment's directory; AWS's agent left no label and no digest."""
    kept = read_json(directory + "/" + KEPT_PLAN) or {}
    revision = kept.get("revision") or {}
    name = os.path.basename(directory)
    return {"deployment": name, "label": revision.get("label") or "", "sha256": revision.get("sha256")}


def make_private(path):
    """A directory for us alone; one that is there already is closed to others."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        os.chmod(path, 0o700)
    else:
        sync_directory(os.path.dirname(path.rstrip("/")))


def sync_directory(path):
    """So that a name made in it is there after a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_synced(path, data, mode=0o600):
    """Replaces a file so that after a power cut the old or the new is there, never half of one."""
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))


def write_all(fd, data):
    """`os.write` until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_json(path, value):
    write_synced(path, dumps(value, sort_keys=True).encode())


def read_bytes(path):
    """A file's content, or None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def read_json(path):
    """A JSON file's value, or None where there is none that can be read."""
    data = read_bytes(path)
    try:
        return None if data is None else as_name(loads(data.decode()))
    except ValueError:
        return None


def read_pointer(path):
    data = read_bytes(path)
    return os.fsdecode(data.rstrip(b"\r\n")) if data and data.strip() else None


def remove(path):
    """A file away, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def remove_tree(path):
    """What is there away, a directory with all that is in it; links are not followed.

    By descriptors, so that an owner of what lies inside cannot lead us elsewhere meanwhile. shutil does the same, and
    takes longer to load than a revision's files to remove.
    """
    parent, name = os.path.split(path)
    try:
        fd = os.open(parent, FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        remove_in(fd, name)
    finally:
        os.close(fd)


FOLDER = os.O_RDONLY | os.O_DIRECTORY


def remove_in(directory, name):
    """What an open directory has under a name."""
    try:
        os.unlink(name, dir_fd=directory)
        return
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    fd = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=directory)
    try:
        for inner in os.listdir(fd):
            remove_in(fd, inner)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=directory)


def touch(path):
    """Makes the file or renews its time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.utime(fd)
    finally:
        os.close(fd)


# ---------------------------------------------------------------------------------------------------------- locks


class Lock:
    """A lock that ends with the last process that has it open, however it ends. Scripts never inherit it."""

    def __init__(self, path=None, fd=None):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if fd is None else fd

    def try_take(self):
        """Whether it is ours now."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self):
        """Lets go of this copy; one that a child has keeps the lock."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def take(path):
    """The lock, or None where somebody else has it."""
    lock = Lock(path)
    if lock.try_take():
        return lock
    lock.close()
    return None


# -------------------------------------------------------------------------------------------------------- journal


class Records:
    """What a journal holds, read as far as it is whole."""

    def __init__(self, path):
        self.path, self.offset, self.all = path, 0, []
        self.read_more()

    def read_more(self):
        """The records that came since; a torn last line is left for later."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        new = []
        for line in whole.splitlines():
            try:
                record = loads(line.decode())
            except ValueError:
                continue  # a line that a power cut damaged
            if isinstance(record, dict):
                new.append(record)
        self.all.extend(new)
        return new

    @property
    def key(self):
        for record in self.all:
            if "key" in record:
                return record["key"]
        return None

    @property
    def finished(self):
        return self.all[-1] if self.all and self.all[-1].get("kind") == "finished" else None

    def open_step(self, started, ended):
        """The last record of kind `started` without an `ended` one behind it, or None."""
        for record in reversed(self.all):
            if record.get("kind") == ended:
                return None
            if record.get("kind") == started:
                return record
        return None


class Journal:
    """Appends records, and syncs them before the step that they announce begins."""

    def __init__(self, path, seq=0, base=None, poke=None, reserve=None):
        self.reserve = reserve
        new = not os.path.exists(path)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._cut_torn_line()
        if new:
            sync_directory(os.path.dirname(path))
        self.seq = seq
        self.base = time.monotonic() if base is None else base
        self.poke = poke or (lambda: None)

    def _cut_torn_line(self):
        size = os.fstat(self.fd).st_size
        tail = os.pread(self.fd, min(size, 1 << 20), max(0, size - (1 << 20)))
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(self.fd, size - (len(tail) - tail.rfind(b"\n") - 1))

    def add(self, kind, sync=True, **fields):
        """Appends a record; without `sync` the next synced one takes it along."""
        self.seq += 1
        offset = round(time.monotonic() - self.base, 6)
        record = {"kind": kind, "v": VERSION, "seq": self.seq, "time": round(time.time(), 3), "offset": offset}
        for key, value in fields.items():
            record[key] = as_text(value) if isinstance(value, str) else value
        self._append(dumps(record).encode() + b"\n")
        if sync:
            os.fdatasync(self.fd)
        self.poke()
        return record

    def _append(self, line):
        size = os.fstat(self.fd).st_size
        while True:
            try:
                write_all(self.fd, line)
                return
            except OSError as error:
                if error.errno not in FULL or not give_room(self.reserve):
                    raise
            os.ftruncate(self.fd, size)

    def close(self):
        os.close(self.fd)


def give_room(reserve):
    """Gives up a piece of the reserve. Whether there was one left."""
    try:
        left = os.path.getsize(reserve) if reserve else 0
        if left:
            os.truncate(reserve, max(0, left - RESERVE_PIECE))
    except FileNotFoundError:
        left = 0
    return left > 0


def keep_reserve(path):
    """Takes the room that a journal gets when the disk has filled up; raises OSError where there is none."""
    if os.path.exists(path) and os.path.getsize(path) == RESERVE_BYTES:
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
    except OSError:
        remove(path)
        raise
    finally:
        os.close(fd)


# ------------------------------------------------------------------------------------------------------ processes


def boot_id():
    """Tells one boot of this host from the next."""
    return (read_bytes("/proc/sys/kernel/random/boot_id") or b"unknown").decode().strip()


def process(pid):
    """(parent, session, start time) of a process that is alive, else None."""
    data = read_bytes("/proc/%d/stat" % pid)
    if not data:
        return None
    fields = data[data.rfind(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1]), int(fields[3]), int(fields[19])


def family(leader):
    """{pid: start time} of a script's processes: its session, its descendants, and the sessions that these have
    made (su makes one), without us."""
    everything = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            info = process(int(name))
            if info:
                everything[int(name)] = info
    ours, found, sessions = os.getsid(0), set(), {leader}
    if leader in everything:
        found.add(leader)
    while True:
        more = {
            pid
            for pid, (parent, session, _) in everything.items()
            if pid not in found and (parent in found or session in sessions)
        }
        if not more:
            break
        found |= more
        sessions |= {everything[pid][1] for pid in more} - {ours}
    return {pid: everything[pid][2] for pid in found if pid != os.getpid()}


def send_signal(members, number):
    """To each process that is still the one that was meant."""
    for pid, start in members.items():
        info = process(pid)
        if info and info[2] == start:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
            except PermissionError:
                pass  # a set-user-id child of a runner that is not root


def kill_all(leader, members):
    """Ends a script's processes, those too that are being made meanwhile: stopped first, so that none makes another."""
    for _ in range(100):
        more = {pid: start for pid, start in family(leader).items() if pid not in members}
        send_signal(more or members, signal.SIGSTOP)
        members.update(more)
        if not more:
            break
    send_signal(members, signal.SIGKILL)


def alive(members):
    """Those of them that are still there."""
    return {pid: start for pid, start in members.items() if (process(pid) or (0, 0, None))[2] == start}


# -------------------------------------------------------------------------------------------------------- archive


def sha256_of(path):
    """(hex digest, size) of a file, or (None, 0) where there is none."""
    import hashlib

    digest, size = hashlib.sha256(), 0
    try:
        with open(path, "rb", buffering=0) as file:
            while True:
                piece = file.read(CHUNK)
                if not piece:
                    return digest.hexdigest(), size
                digest.update(piece)
                size += len(piece)
    except OSError:
        return None, 0


class Unpacking:
    """Writes an archive's members below one directory and nowhere else.

    Every parent of a member is a real directory that this made; a link is recreated as it is but never written
    through; set-user-id and set-group-id bits are cleared (`permissions` may set them); devices, fifos, absolute names
    and `..` are refused.
    """

    def __init__(self, target, packed_size, limits):
        self.target = target
        self.most_bytes = limits.get("unpacked_bytes") or max(UNPACKED_FLOOR, UNPACKED_RATIO * packed_size)
        self.most_members = limits.get("members") or DEFAULT_MEMBERS
        self.is_root = os.geteuid() == 0
        self.begin()

    def begin(self):
        """With an empty directory, whatever was there before."""
        remove_tree(self.target)
        os.mkdir(self.target, 0o755)
        self.made = {self.target}
        self.directories = []  # modes come last: one without write permission would shut us out
        self.links = set()
        self.bytes_left, self.members_left = self.most_bytes, self.most_members
        self.cleared = 0  # members that lost a set-id bit

    def place(self, name):
        """Where a member goes, its parents made; None for the archive's root. Raises StepFailed if it would leave."""
        self.members_left -= 1
        if self.members_left < 0:
            raise StepFailed("the archive has too many members")
        if name.startswith("/") or "\0" in name:
            raise StepFailed("archive member %s: absolute names are refused" % as_text(name))
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise StepFailed("archive member %s: it would leave the archive" % as_text(name))
        if not parts:
            return None
        self._make_parents(parts[:-1], name)
        return self.target + "/" + "/".join(parts)

    def _make_parents(self, parts, name):
        path = self.target
        for part in parts:
            path += "/" + part
            if path in self.made:
                continue
            if path in self.links:
                raise StepFailed("archive member %s: it would be written through a link" % as_text(name))
            if os.path.lexists(path):
                os.unlink(path)  # a file before, now a directory: the later member counts
            os.mkdir(path, 0o755)
            self.made.add(path)

    def _away(self, path):
        """Makes room: of two members of one name the later counts."""
        self.links.discard(path)
        if path in self.made:
            remove_tree(path)
            self.made = {made for made in self.made if made != path and not made.startswith(path + "/")}
        else:
            remove(path)

    def directory(self, path, mode, owner, mtime):
        if path not in self.made:
            self._away(path)
            os.mkdir(path, 0o755)
            self.made.add(path)
        self.directories.append((path, self._safe(mode), owner, mtime))

    def file(self, path, pieces, mode, owner, mtime):
        """A regular file from its pieces."""
        fd = self._open_new(path)
        try:
            for piece in pieces:
                self.bytes_left -= len(piece)
                if self.bytes_left < 0:
                    raise StepFailed(
                        "the archive unpacks to more than is allowed: raise the limit unpacked_bytes if it is meant to"
                    )
                write_all(fd, piece)
            if owner and self.is_root:
                os.fchown(fd, owner[0], owner[1])
            os.fchmod(fd, self._safe(mode))
            os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)

    def _open_new(self, path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            return os.open(path, flags, 0o600)
        except FileExistsError:
            self._away(path)
            return os.open(path, flags, 0o600)

    def symbolic_link(self, path, target, owner):
        self._away(path)
        os.symlink(target, path)
        self.links.add(path)
        if owner and self.is_root:
            os.lchown(path, owner[0], owner[1])

    def hard_link(self, path, to):
        """To a member that is there already: looked up as its name was, so that it cannot leave either."""
        source = self.place(to)
        if source is None or not os.path.lexists(source) or source in self.made:
            raise StepFailed("archive member %s: a hard link to what the archive does not have" % as_text(path))
        self._away(path)
        os.link(source, path, follow_symlinks=False)
        if source in self.links:
            self.links.add(path)

    def _safe(self, mode):
        if mode & 0o6000:
            self.cleared += 1
        return mode & 0o1777 if self.is_root else (mode & 0o1777) | 0o600

    def finish(self):
        for path, mode, owner, mtime in reversed(self.directories):
            if path not in self.made:
                continue
            if owner and self.is_root:
                os.lchown(path, owner[0], owner[1])
            os.chmod(path, mode if self.is_root else mode | 0o700)
            os.utime(path, (mtime, mtime))


def unpack(bundle, bundle_type, target, limits):
    """Unpacks a bundle into `target`, which it makes anew. Returns warnings; raises StepFailed."""
    try:
        unpacking = Unpacking(target, os.path.getsize(bundle), limits)
        if bundle_type == "zip":
            unpack_zip(bundle, unpacking)
        else:
            unpack_tar(bundle, unpacking)
        unpacking.finish()
    except StepFailed as failed:
        raise StepFailed("DownloadBundle: %s" % failed.message) from None
    except OSError as error:
        raise StepFailed("DownloadBundle: cannot unpack the archive: %s" % why(error)) from None
    unnest(target)
    if unpacking.cleared:
        return [
            "%d archive members lost their set-user-id or set-group-id bit; permissions may set it" % unpacking.cleared
        ]
    return []


def unpack_tar(bundle, unpacking):
    """tar, plain or compressed, whatever it is called: owners, modes and times as root's tar would set them.

    Nearly every bundle is plain; for all the rest, damage included, tarfile begins anew and has the word.
    """
    try:
        unpack_plain_tar(bundle, unpacking)
    except NotPlain:
        unpacking.begin()
        unpack_any_tar(bundle, unpacking)


class NotPlain(Exception):
    """Something that is left to tarfile."""


def unpack_plain_tar(bundle, unpacking):
    """A tar file whose members are files, directories and links with short names: loading tarfile, and its work per
    member, take longer than such a bundle's whole unpacking. Raises NotPlain for anything else."""
    owners = {}
    with open(bundle, "rb", buffering=0) as file:
        stream = Unzipped(file)
        while True:
            header = stream.exactly(512)
            if not header.strip(b"\0"):
                return
            member = PlainMember(header)
            path = unpacking.place(member.name)
            if member.owner not in owners:
                owners[member.owner] = tar_owner(*member.owner)
            owner = owners[member.owner]
            if member.kind == b"5":
                if path:
                    unpacking.directory(path, member.mode, owner, member.mtime)
            elif path is None:
                raise StepFailed("archive member %s: its name is empty" % as_text(member.name))
            elif member.kind == b"2":
                unpacking.symbolic_link(path, member.link, owner)
            elif member.kind == b"1":
                unpacking.hard_link(path, member.link)
            else:
                unpacking.file(path, stream.pieces(member.size), member.mode, owner, member.mtime)
                stream.exactly(-member.size % 512)


class PlainMember:
    """A member by its 512 bytes of header, as POSIX and GNU tar both write it. Raises NotPlain."""

    def __init__(self, header):
        self.kind = header[156:157]
        if header[257:263] not in (b"ustar\0", b"ustar ") or self.kind not in (b"0", b"1", b"2", b"5"):
            raise NotPlain
        if self._number(header, 148, 156) != sum(header) - sum(header[148:156]) + 8 * 32:
            raise NotPlain
        name, prefix = self._text(header, 0, 100), self._text(header, 345, 500)
        self.name = prefix + "/" + name if prefix else name
        self.link = self._text(header, 157, 257)
        self.mode, self.mtime = self._number(header, 100, 108), self._number(header, 136, 148)
        self.size = self._number(header, 124, 136)
        if self.kind != b"0" and self.size:
            raise NotPlain
        user = self._number(header, 108, 116), self._text(header, 265, 297)
        group = self._number(header, 116, 124), self._text(header, 297, 329)
        self.owner = user, group

    @staticmethod
    def _number(header, start, end):
        field = header[start:end].strip(b" \0")
        if field.strip(b"01234567"):
            raise NotPlain
        return int(field or b"0", 8)

    @staticmethod
    def _text(header, start, end):
        return as_name(header[start:end].partition(b"\0")[0].decode(NAME_ENCODING, "surrogateescape"))


class Unzipped:
    """Reads a file, unzipping it if it is gzip's. What ends too early, or is damaged, is not plain."""

    def __init__(self, file):
        import zlib

        self.file, self.damage = file, zlib.error
        self.unzip, self.packed = None, b""
        self.data, self.at = file.read(CHUNK), 0
        if self.data.startswith(b"\x1f\x8b"):
            self.unzip, self.packed, self.data = zlib.decompressobj(zlib.MAX_WBITS | 16), self.data, b""

    def some(self, most):
        """At most so many bytes, at least one."""
        while self.at == len(self.data):
            self.data, self.at = self._more(), 0
        piece = self.data[self.at : self.at + most]
        self.at += len(piece)
        return piece

    def exactly(self, size):
        piece = self.some(size) if size else b""
        while len(piece) < size:
            piece += self.some(size - len(piece))
        return piece

    def pieces(self, size):
        while size:
            piece = self.some(size)
            size -= len(piece)
            yield piece

    def _more(self):
        packed = self.packed or self.file.read(CHUNK)
        if not packed or (self.unzip and self.unzip.eof):
            raise NotPlain
        if not self.unzip:
            return packed
        try:
            data = self.unzip.decompress(packed, CHUNK)
        except self.damage:
            raise NotPlain from None
        self.packed = self.unzip.unconsumed_tail
        return data


def unpack_any_tar(bundle, unpacking):
    import tarfile
    import zlib

    owners = {}
    try:
        with open_unzipped(bundle) as file:
            with tarfile.open(fileobj=file, mode="r:*", encoding=NAME_ENCODING, errors="surrogateescape") as tar:
                for member in tar:
                    unpack_tar_member(tar, member, unpacking, owners)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise StepFailed("the archive is no sound tar file: %s" % error) from None


def open_unzipped(bundle):
    """The bundle as tarfile reads it; gzip in large pieces, which halves the time."""
    file = open(bundle, "rb")
    if file.read(2) != b"\x1f\x8b":
        file.seek(0)
        return file
    import gzip
    import io

    file.close()
    return io.BufferedReader(gzip.open(bundle), CHUNK)


def unpack_tar_member(tar, member, unpacking, owners):
    path = unpacking.place(as_name(member.name))
    owner = (member.uid, member.uname), (member.gid, member.gname)
    if owner not in owners:
        owners[owner] = tar_owner(*owner)
    if member.isdir():
        if path:
            unpacking.directory(path, member.mode, owners[owner], member.mtime)
    elif path is None:
        raise StepFailed("archive member %s: its name is empty" % as_text(member.name))
    elif member.isreg():
        unpacking.file(path, read_pieces(tar.extractfile(member)), member.mode, owners[owner], member.mtime)
    elif member.issym():
        unpacking.symbolic_link(path, as_name(member.linkname), owners[owner])
    elif member.islnk():
        unpacking.hard_link(path, as_name(member.linkname))
    else:
        raise StepFailed("archive member %s: devices and fifos are refused" % as_text(member.name))


def tar_owner(user, group):
    """(uid, gid) of (uid, name) and (gid, name): by name where this host knows it, else by number: as root's tar."""
    import grp
    import pwd

    (uid, user_name), (gid, group_name) = user, group
    try:
        uid = pwd.getpwnam(user_name).pw_uid if user_name else uid
    except (KeyError, ValueError):
        pass
    try:
        gid = grp.getgrnam(group_name).gr_gid if group_name else gid
    except (KeyError, ValueError):
        pass
    return uid, gid


def read_pieces(file):
    return iter(lambda: file.read(CHUNK), b"")


def unpack_zip(bundle, unpacking):
    """Stored modes and links where the archive has them (made on unix), else 0644 and 0755; all belongs to us."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(bundle) as archive:
            for member in archive.infolist():
                unpack_zip_member(archive, member, unpacking)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise StepFailed("the archive is no sound zip file: %s" % error) from None


def unpack_zip_member(archive, member, unpacking):
    path = unpacking.place(as_name(member.filename))
    mode = member.external_attr >> 16 if member.create_system == 3 else 0
    if member.filename.endswith("/"):
        if path:
            unpacking.directory(path, stat.S_IMODE(mode) or 0o755, None, zip_time(member))
    elif path is None:
        raise StepFailed("archive member %s: its name is empty" % as_text(member.filename))
    elif stat.S_ISLNK(mode):
        if member.file_size > 4096:
            raise StepFailed("archive member %s: the link's target is too long" % as_text(member.filename))
        unpacking.symbolic_link(path, os.fsdecode(archive.read(member)), None)
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise StepFailed("archive member %s: devices and fifos are refused" % as_text(member.filename))
    else:
        with archive.open(member) as source:
            unpacking.file(path, read_pieces(source), stat.S_IMODE(mode) or 0o644, None, zip_time(member))


def zip_time(member):
    """The modification time: from the extended time stamp (UTC) if there is one, else the DOS time, which is local."""
    extra = member.extra
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if kind == 0x5455 and size >= 5 and extra[4] & 1:
            return int.from_bytes(extra[5:9], "little", signed=True)
        extra = extra[4 + size :]
    return time.mktime((*member.date_time, 0, 0, -1))


def unnest(target):
    """Takes one level away where the archive has a single directory with something named `appspec` in it."""
    names = os.listdir(target)
    inner = target + "/" + names[0] if len(names) == 1 else ""
    if not inner or os.path.islink(inner) or not os.path.isdir(inner):
        return
    if any("appspec" in name.lower() for name in os.listdir(inner)):
        aside = target + "-temp"
        remove_tree(aside)
        os.rename(target, aside)
        os.rename(aside + "/" + names[0], target)
        os.rmdir(aside)


def prune(host, group, current, limits):
    """Keeps `max_revisions` directories of a group, this one included; never takes what undo or the next stop needs."""
    prune_loose(host)
    base = host.deployments + "/" + group.id
    others = [base + "/" + name for name in os.listdir(base) if base + "/" + name != current]
    extra = len(others) - max(1, limits.get("max_revisions") or 5) + 1
    if extra <= 0:
        return
    needed = (group.last_install(), group.succeeded_directory())
    old = sorted((path for path in others if path not in needed), key=lambda path: os.lstat(path).st_mtime)
    for path in old[:extra]:
        name = os.path.basename(path)
        remove_tree(path)
        remove_tree(group.kept + "/" + name)
        forget(host, name)


LOOSE = 20


def prune_loose(host):
    """Of deployments without a directory, which were refused or had nothing to undo, the newest are remembered."""
    prefix = "deployment-"
    groups = [host.deployments + "/" + name for name in os.listdir(host.deployments)]
    known = {name for group in groups if os.path.isdir(group) for name in os.listdir(group)}
    names = {name[len(prefix) :] for name in os.listdir(host.state + "/locks") if name.startswith(prefix)}
    loose = sorted(names - known, key=lambda name: os.lstat(host.lock(prefix + name)).st_mtime)
    for name in loose[:-LOOSE]:
        forget(host, name)


def forget(host, deployment):
    """Removes what tells of a deployment, unless somebody attends to it. Who comes for it now waits for the host."""
    lock = take(host.lock("deployment-" + deployment))
    if lock:
        journal = host.journal(deployment)
        for path in (journal, journal + ".trace", host.halt(deployment), host.asked(deployment)):
            remove(path)
        remove(host.lock("deployment-" + deployment))
        lock.close()


# ------------------------------------------------------------------------------------- clean-up and kept files

CONTEXT = "semanage\0"


def read_cleanup(path):
    """The lines of a clean-up list, oldest first; a last line without its end was torn and does not count."""
    data = read_bytes(path) or b""
    return [os.fsdecode(line) for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]]


def exact(path):
    """The path that a line means: blanks around it count if such a name is there (the agent always drops them)."""
    plain = path.strip()
    return path if path == plain or os.path.lexists(path) else plain


def clean_up(group):
    """Removes what the list names, newest first: files and links always, directories only when empty. Returns the
    number of things that were removed."""
    removed = 0
    for line in reversed(read_cleanup(group.cleanup)):
        if line.startswith(CONTEXT):
            run_tool(["semanage", "fcontext", "-d", line[len(CONTEXT) :].strip()])
            continue
        path = exact(line)
        if not path:
            continue
        try:
            try:
                os.unlink(path)
            except IsADirectoryError:
                os.rmdir(path)
            removed += 1
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise StepFailed(
                    "Install: cannot remove %s of the last deployment: %s" % (as_text(path), why(error))
                ) from None
    remove(group.cleanup)
    return removed


def need_writable(directory):
    """Raises StepFailed where nothing can be made or removed in a directory that is there."""
    if os.access(directory, os.W_OK):
        return
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        reason = "its file system is read-only"
    else:
        reason = "user id %d, as whom the runner works, has no permission" % os.geteuid()
    raise StepFailed("Install: %s cannot be written: %s" % (as_text(directory), reason))


class AfterCleanup:
    """Looks at the disk as it will be once a clean-up list has been worked off. Follows links as the kernel will."""

    def __init__(self, lines):
        self.directories = {}  # path as written -> the real directory, or None
        self.parents = {}  # the same, as it is now
        self.gone = set()
        self.changed = set()  # the directories in which something goes
        for line in reversed(lines):
            if line and not line.startswith(CONTEXT):
                self._doom(exact(line))

    def _doom(self, path):
        parent, name = os.path.split(path)
        if parent not in self.parents:
            self.parents[parent] = os.path.realpath(parent).rstrip("/")
        here = self.parents[parent] + "/" + name
        try:
            is_directory = stat.S_ISDIR(os.lstat(here).st_mode)
            if is_directory and any(here + "/" + name not in self.gone for name in os.listdir(here)):
                return
        except OSError:
            return
        self.gone.add(here)
        if self.parents[parent] not in self.changed:
            self.changed.add(self.parents[parent])
            need_writable(self.parents[parent] or "/")

    def real(self, path, links=0):
        """The real path of what will be there, or None: nothing, or a link to nothing."""
        if path == "/":
            return path
        parent, name = os.path.split(path)
        if parent not in self.directories:
            found = self.real(parent, links)
            self.directories[parent] = found if found and os.path.isdir(found) else None
        here = self.directories[parent]
        if here is None or links > 40:
            return None
        here = here.rstrip("/") + "/" + name
        if here in self.gone:
            return None
        try:
            mode = os.lstat(here).st_mode
        except OSError:
            return None
        if stat.S_ISLNK(mode):
            target = os.path.normpath(os.path.join(os.path.dirname(here), os.readlink(here)))
            return self.real(target, links + 1)
        return here

    def exists(self, path):
        return self.real(path) is not None

    def is_directory(self, path):
        real = self.real(path)
        return real is not None and os.path.isdir(real)


class Keeper:
    """Keeps what OVERWRITE replaces, so that undo can bring it back. One directory per group and deployment."""

    def __init__(self, group, deployment):
        self.directory = group.kept + "/" + deployment
        self.index = self.directory + "/index.json"
        self.entries = read_json(self.index) or []

    def keep(self, path):
        """Copies the file that `path` leads to, and remembers the link that `path` may be."""
        if not self.entries:
            for directory in (os.path.dirname(self.directory), self.directory):
                make_private(directory)
        real = os.path.realpath(path)
        info = os.stat(real)
        copy = "%s/%d" % (self.directory, len(self.entries))
        copy_file(real, copy)
        os.chmod(copy, 0o600)
        entry = {"path": as_json_path(path), "real": as_json_path(real), "mode": stat.S_IMODE(info.st_mode)}
        entry.update(uid=info.st_uid, gid=info.st_gid, mtime=info.st_mtime, attributes=attributes_of(real))
        if os.path.islink(path):
            entry["link"] = as_json_path(os.readlink(path))
        self.entries.append(entry)
        write_json(self.index, self.entries)

    def restore(self):
        """Puts everything back where nothing stands in the way any more. Returns warnings."""
        warnings = []
        for number, entry in enumerate(self.entries):
            try:
                self._restore_one("%s/%d" % (self.directory, number), entry)
            except OSError as error:
                warnings.append("%s could not be put back: %s" % (as_text(entry["path"]), why(error)))
        remove_tree(self.directory)
        self.entries = []
        return warnings

    def _restore_one(self, copy, entry):
        path, real = from_json_path(entry["path"]), from_json_path(entry["real"])
        os.makedirs(os.path.dirname(real), 0o755, exist_ok=True)
        copy_file(copy, real)
        if os.geteuid() == 0:
            os.chown(real, entry["uid"], entry["gid"])
        os.chmod(real, entry["mode"])
        for name, value in entry["attributes"].items():
            os.setxattr(real, name, bytes.fromhex(value))
        os.utime(real, (entry["mtime"], entry["mtime"]))
        if "link" in entry and not os.path.lexists(path):
            os.symlink(from_json_path(entry["link"]), path)


def as_json_path(path):
    """A path in JSON keeps its bytes."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def from_json_path(text):
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def attributes_of(path):
    """Extended attributes (ACLs, SELinux contexts), as far as this file system has them."""
    found = {}
    try:
        for name in os.listxattr(path):
            found[name] = os.getxattr(path, name).hex()
    except OSError:
        pass
    return found


# ----------------------------------------------------------------------------------------------- install planning


class OnDisk:
    """The unpacked archive as a source of files; links are followed as the agent follows them."""

    def __init__(self, archive):
        self.archive = archive
        self.real = os.path.realpath(archive)

    def path(self, source):
        return join(self.archive, source)

    def exists(self, path):
        return os.path.lexists(path)

    def is_directory(self, path):
        return os.path.isdir(path)

    def entries(self, path):
        """(name, whether it is a directory or leads to one) of what is inside, in the order of the names' bytes."""
        with os.scandir(path) as found:
            entries = [
                (entry.name, os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()) for entry in found
            ]
        return sorted(entries, key=lambda entry: os.fsencode(entry[0]))

    def check_link(self, path):
        """A linked directory is copied as a real one, so it must not lead out of the archive."""
        if os.path.islink(path):
            real = os.path.realpath(path)
            if real != self.real and not real.startswith(self.real + "/"):
                raise StepFailed(
                    "Install: %s is a link to the directory %s, outside of the archive; put the files into the bundle"
                    % (as_text(path), as_text(real))
                )

    def same(self, path, destination):
        """Whether an installed file has this content already."""
        if os.path.islink(path) or os.path.islink(destination):
            return (
                os.path.islink(path) and os.path.islink(destination) and os.readlink(path) == os.readlink(destination)
            )
        return sha256_of(path) == sha256_of(destination)


class Listed:
    """The same from a list of an archive's members, for `plan` on a host that does not have the archive."""

    def __init__(self, members):
        self.members = {}
        for member in members:
            path = os.path.normpath("/" + member["path"])
            self.members[path] = member
            while path != "/":
                path = os.path.dirname(path)
                self.members.setdefault(path, {"type": "directory"})

    def path(self, source):
        return os.path.normpath("/" + source.lstrip("/"))

    def exists(self, path):
        return path in self.members

    def is_directory(self, path):
        return self.members.get(path, {}).get("type") in ("directory", "dir", "d")

    def entries(self, path):
        base = path.rstrip("/") + "/"
        inner = (p for p in self.members if p.startswith(base) and "/" not in p[len(base) :] and p != base)
        return sorted((p[len(base) :], self.is_directory(p)) for p in inner)

    def check_link(self, path):
        pass

    def same(self, path, destination):
        digest = self.members[path].get("sha256")
        return bool(digest) and not os.path.islink(destination) and sha256_of(destination)[0] == digest


class InstallPlan:
    """What an Install will do, in order, checked against the disk as it will be after clean-up. Touches nothing.

    `steps` are tuples: ("mkdir", path), ("copy", source, destination), ("mode", path, mode), ("acl", path, entries),
    ("context", path, context), ("owner", path, uid, gid).
    """

    def __init__(self, host, plan, sources, behavior, disk):
        self.host, self.sources, self.disk = host, sources, disk
        self.behavior = plan.get("file_exists_behavior") or (behavior or "").upper() or "DISALLOW"
        self.steps = []
        self.copies = {}  # destination -> source
        self.directories = {}  # in the order in which they are made
        self.replaced = set()
        self.retained = []
        self.warnings = []
        self._permitted = set()
        self._writable = set()
        for entry in plan.get("files") or ():
            self._entry(entry)
        for permission in plan.get("permissions") or ():
            self._permission(permission)

    def _entry(self, entry):
        source = self.sources.path(entry["source"])
        destination = self._place("destination", entry["destination"])
        if not self.sources.exists(source):
            raise StepFailed("Install: the source %s is not in the revision" % as_text(entry["source"]))
        if self.sources.is_directory(source):
            self._ancestors(destination)
            self._tree(source, destination, ())
        else:
            destination = join(destination, os.path.basename(source.rstrip("/")))
            self._ancestors(destination)
            self._copy(source, destination)

    def _place(self, key, path):
        if path.startswith("~"):
            raise StepFailed(
                "Install: %s %s: no home directory is put in place of ~; write the path" % (key, as_text(path))
            )
        return self.host.at(path)

    def _ancestors(self, destination):
        missing, parent = [], os.path.dirname(destination)
        while parent != "/" and not self.disk.exists(parent) and parent not in self.directories:
            missing.append(parent)
            parent = os.path.dirname(parent)
        for path in reversed(missing):
            self._mkdir(path)
        if parent not in self.directories and parent != "/" and not self.disk.is_directory(parent):
            raise StepFailed("Install: %s is needed as a directory, but it is a file" % as_text(parent))

    def _tree(self, source, destination, above):
        self.sources.check_link(source)
        real = os.path.realpath(source)
        if real in above:
            raise StepFailed("Install: %s is a link to a directory that it lies in" % as_text(source))
        if destination not in self.directories and not self.disk.is_directory(destination):
            if self.disk.exists(destination):
                raise StepFailed("Install: %s is needed as a directory, but it is a file" % as_text(destination))
            self._mkdir(destination)
        for name, is_directory in self.sources.entries(source):
            inner, target = join(source, name), join(destination, name)
            if is_directory:
                self._tree(inner, target, (*above, real))
            else:
                self._copy(inner, target)

    def _check_writable(self, path):
        """The directory of `path`, if it is there and stays."""
        parent = os.path.dirname(path)
        if parent in self._writable or parent in self.directories:
            return
        self._writable.add(parent)
        real = self.disk.real(parent)
        if real:
            need_writable(real)

    def _mkdir(self, path):
        if path in self.copies:
            raise StepFailed(
                "Install: %s would be both the file %s and a directory" % (as_text(path), as_text(self.copies[path]))
            )
        if path not in self.directories:
            self._check_writable(path)
            self.directories[path] = None
            self.steps.append(("mkdir", path))

    def _copy(self, source, destination):
        if self.disk.exists(destination) and not self._may_replace(destination):
            return
        if destination in self.copies:
            raise StepFailed(
                "Install: two files of the revision, %s and %s, have the same destination %s"
                % (as_text(self.copies[destination]), as_text(source), as_text(destination))
            )
        if destination in self.directories:
            raise StepFailed(
                "Install: %s would be both a directory and the file %s" % (as_text(destination), as_text(source))
            )
        self._check_writable(destination)
        self.copies[destination] = source
        self.steps.append(("copy", source, destination))

    def _may_replace(self, destination):
        """What the file-exists behaviour says about a file that was there; noticed only when there is one."""
        if self.behavior == "RETAIN":
            self.retained.append(destination)
            return False
        if self.behavior == "OVERWRITE":
            if self.disk.is_directory(destination):
                self.warnings.append("%s is a directory: the file is put inside it" % as_text(destination))
            self.replaced.add(destination)
            return True
        if self.behavior == "DISALLOW":
            raise StepFailed(
                "The deployment failed because a specified file already exists at this location: %s. "
                "This group did not install it; remove it, or set file_exists_behavior to OVERWRITE or RETAIN"
                % as_text(destination)
            )
        raise StepFailed(
            "Install: %s exists, and the file-exists behavior %r is none of DISALLOW, OVERWRITE, RETAIN"
            % (as_text(destination), self.behavior)
        )

    def _permission(self, permission):
        target = self._place("object", permission["object"])
        kinds = permission.get("type", ("file", "directory"))
        if target in self.copies:
            if "file" in kinds:
                self._check_file_object(target, permission)
                self._set(target, permission)
        elif target in self.directories or self.disk.is_directory(target):
            for path in self._matches(target, permission, kinds):
                self._set(path, permission)

    def _check_file_object(self, target, permission):
        if permission.get("pattern", "**") != "**":
            raise StepFailed(
                "Install: permissions of %s: a pattern needs a directory, this is a file" % as_text(target)
            )
        if permission.get("except"):
            raise StepFailed("Install: permissions of %s: except needs a directory, this is a file" % as_text(target))
        self._check_default_acl(target, permission)

    def _check_default_acl(self, target, permission):
        if any(entry.get("default") for entry in permission.get("acls") or ()):
            raise StepFailed(
                "Install: permissions of %s: a default ACL entry needs a directory; add `type: [directory]`"
                % as_text(target)
            )

    def _matches(self, target, permission, kinds):
        pattern, exceptions = permission.get("pattern", "**"), permission.get("except") or ()
        base = target.rstrip("/") + "/"
        found = []
        for kind, paths in (("file", self.copies), ("directory", self.directories)):
            if kind not in kinds:
                continue
            for path in paths:
                name = path[len(base) :]
                if not path.startswith(base) or any(matches(name, one) for one in exceptions):
                    continue
                if pattern == "**" or matches(name, pattern):
                    if kind == "file":
                        self._check_default_acl(path, permission)
                    found.append(path)
        return found

    def _set(self, path, permission):
        """The agent's order: mode, ACL, context, owner last (which clears set-id bits of files)."""
        if path in self._permitted:
            raise StepFailed(
                "Install: the permissions of %s are set by more than one entry; use except" % as_text(path)
            )
        self._permitted.add(path)
        if permission.get("mode") is not None:
            self.steps.append(("mode", path, int(permission["mode"], 8)))
        if permission.get("acls") is not None:
            check_acl(permission["acls"])
            self.steps.append(("acl", path, permission["acls"]))
        if permission.get("context") is not None:
            need_tool("semanage", "the SELinux context")
            need_tool("restorecon", "the SELinux context")
            self.steps.append(("context", path, permission["context"]))
        owner, group = permission.get("owner"), permission.get("group")
        if owner is not None or group is not None:
            self.steps.append(("owner", path, *owner_ids(path, owner, group)))


def join(directory, name):
    """Like Ruby's File.join: slashes between the two count as one."""
    return directory.rstrip("/") + "/" + name.lstrip("/")


def matches(name, pattern):
    """The agent's glob: only `*` is special, and only direct children match."""
    if "/" in name or not isinstance(pattern, str):
        return False
    import re

    return re.match("^" + ".*".join(re.escape(part) for part in pattern.split("*")) + r"\Z", name, re.S) is not None


def user_id(name):
    """A user's number, -1 for none; raises StepFailed where nobody has that name."""
    import pwd

    try:
        return -1 if name is None else pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise StepFailed("Install: permissions: there is no user %s on this host" % as_text(str(name))) from None


def group_id(name):
    """A group's number, -1 for none; raises StepFailed where there is none of that name."""
    import grp

    try:
        return -1 if name is None else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise StepFailed("Install: permissions: there is no group %s on this host" % as_text(str(name))) from None


def owner_ids(path, owner, group):
    """(user, group) as numbers, -1 for what stays; raises StepFailed where they are unknown or not ours to give."""
    user, group_number = user_id(owner), group_id(group)
    if os.geteuid() != 0 and (
        user not in (-1, os.geteuid()) or group_number not in (-1, *os.getgroups(), os.getegid())
    ):
        raise StepFailed("Install: permissions of %s: only root may give it to another owner" % as_text(path))
    return user, group_number


def check_acl(entries):
    """The tool and the names that an ACL needs."""
    need_tool("setfacl", "an ACL")
    for entry in entries:
        name = entry.get("name") or ""
        if name and not name.isdigit():
            (user_id if entry["type"] == "user" else group_id)(name)


def find_tool(name):
    for directory in [*os.environ.get("PATH", os.defpath).split(":"), "/usr/sbin", "/sbin"]:
        path = directory + "/" + name
        if directory and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def need_tool(name, purpose):
    if not find_tool(name):
        raise StepFailed("Install: %s is asked for in permissions, but this host has no %s" % (purpose, name))


# ----------------------------------------------------------------------------------------------- install applying


class Installer:
    """Applies an InstallPlan. The clean-up list is written along, so that at any moment it names what was made."""

    def __init__(self, plan, group, keeper):
        self.plan, self.group, self.keeper = plan, group, keeper
        self.list, self.listed = -1, 0  # the list's descriptor and size

    def run(self):
        """Raises StepFailed at the first step that fails; the list then names everything up to it."""
        self.list = os.open(self.group.cleanup, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        try:
            for step in self.plan.steps:
                try:
                    getattr(self, "_" + step[0])(*step[1:])
                except OSError as error:
                    place = as_text(step[2] if step[0] == "copy" else step[1])
                    raise StepFailed("Install: %s of %s failed: %s" % (step[0], place, why(error))) from None
        finally:
            os.fsync(self.list)
            os.close(self.list)

    def _record(self, line):
        line = os.fsencode(line)
        line = line if line.endswith(b"\n") else line + b"\n"
        write_all(self.list, line)
        self.listed += len(line)

    def _forget(self, before):
        """Shortens the list to what it was: what was there already is not ours to remove later."""
        os.ftruncate(self.list, before)
        self.listed = before

    def _mkdir(self, path):
        before = self.listed
        self._record(path)
        try:
            os.mkdir(path, 0o777)
        except OSError:
            self._forget(before)
            raise

    def _copy(self, source, destination):
        replaces = destination in self.plan.replaced
        # through a link to nothing is written, as the agent does it
        fresh = not replaces and not os.path.islink(destination)
        target = destination
        if replaces and os.path.isdir(destination):
            inside = os.readlink(source) if os.path.islink(source) else source
            target = join(destination, os.path.basename(inside))
            replaces = os.path.lexists(target)
        if replaces:
            self.keeper.keep(target)
        before = self.listed
        self._record(destination)
        try:
            if os.path.islink(source):
                if replaces:
                    os.unlink(target)
                os.symlink(os.readlink(source), target)
            else:
                copy_file(source, target, preserve=True, fresh=fresh)
        except FileExistsError:
            if not fresh:
                raise
            self._forget(before)
            raise StepFailed(
                "Install: %s was not there when the files were checked, and is there now; somebody else has made it, "
                "it is left alone" % as_text(destination)
            ) from None

    def _mode(self, path, mode):
        os.chmod(path, mode)

    def _acl(self, path, entries):
        text = ",".join(full_acl(entries, stat.S_IMODE(os.stat(path).st_mode)))
        failed = run_tool([find_tool("setfacl"), "--set", text, path])
        if failed:
            raise StepFailed("Install: the ACL of %s failed: setfacl --set %s: %s" % (as_text(path), text, failed))

    def _context(self, path, context):
        path = os.path.realpath(path)
        command = ["semanage", "fcontext", "-a", "-t", context["type"]]
        for option, key in (("-s", "user"), ("-r", "range")):
            if context.get(key):
                command += [option, context[key]]
        for one in ([*command, path], ["restorecon", "-v", path]):
            failed = run_tool(one)
            if failed:
                raise StepFailed("Install: the SELinux context failed: %s: %s" % (as_text(" ".join(one)), failed))
        self._record(CONTEXT + path)

    def _owner(self, path, user, group):
        os.chown(path, user, group)


def copy_file(source, destination, preserve=False, fresh=False):
    """Content, and with `preserve` owner (as root), mode and times too; into the existing file where there is one.

    With `fresh` there must be none: raises FileExistsError.
    """
    reading = os.open(source, os.O_RDONLY)
    try:
        info = os.fstat(reading)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        writing = os.open(destination, FRESH, 0o600) if fresh else open_for_copy(destination)
        try:
            left = info.st_size
            while left > 0:
                sent = os.sendfile(writing, reading, None, left)
                if not sent:
                    break
                left -= sent
            if preserve:
                if os.geteuid() == 0:
                    os.fchown(writing, info.st_uid, info.st_gid)
                os.fchmod(writing, stat.S_IMODE(info.st_mode))
                os.utime(writing, ns=(info.st_atime_ns, info.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def open_for_copy(destination):
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        return os.open(destination, flags, 0o600)
    except OSError as error:
        if error.errno != errno.ETXTBSY:
            raise
        os.unlink(destination)  # a program that runs keeps its old file
        return os.open(destination, flags, 0o600)


def full_acl(entries, mode):
    """The entries of one object as setfacl's texts, with the base entries that the mode stands for.

    >>> full_acl([{"type": "user", "name": "bob", "perms": "rw-"}], 0o640)
    ['user:bob:rw-', 'user::rw-', 'group::r--', 'other::---', 'mask::r--']
    """
    user, group, other = [letters(mode >> shift & 7) for shift in (6, 3, 0)]
    given = [(bool(e.get("default")), e["type"], e.get("name") or "", e["perms"]) for e in entries]
    added = [(False, "user", "", user), (False, "group", "", group), (False, "other", "", other)]
    if any(not default and name for default, _, name, _ in given) and not has(given, False, "mask"):
        added.append((False, "mask", "", group))
    if any(default for default, _, _, _ in given):
        for kind, perms in (("user", user), ("group", group), ("other", other)):
            if not has(given, True, kind):
                added.append((True, kind, "", perms))
        if any(default and name for default, _, name, _ in given) and not has(given, True, "mask"):
            added.append(next((True, "mask", "", p) for d, k, n, p in given + added if d and k == "group" and not n))
    return ["%s%s:%s:%s" % ("default:" if d else "", k, n, p) for d, k, n, p in given + added]


def has(entries, default, kind):
    return any(d == default and k == kind and not n for d, k, n, _ in entries)


def letters(bits):
    return ("r" if bits & 4 else "-") + ("w" if bits & 2 else "-") + ("x" if bits & 1 else "-")


def run_tool(command):
    """None if it ended well, else its exit status and last words."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300
        )
    except (OSError, subprocess.SubprocessError) as error:
        return as_text(str(error))
    if done.returncode == 0:
        return None
    return "exit %d: %s" % (done.returncode, as_text(done.stderr[-500:]).strip())


# ---------------------------------------------------------------------------------------------------------- hooks


class ScriptLog:
    """One event's part of the script log, and the tail of it that a failure carries."""

    def __init__(self, path, deployment, limit, poke):
        self.trouble = ""  # why it is not written any more
        self.poke = poke
        self.entries, self.size = [], 0
        try:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            self.fd, self.trouble = os.open("/dev/null", os.O_WRONLY), why(error)
        self.left = limit - os.fstat(self.fd).st_size

    def add(self, *entries):
        """Appends entries (bytes, with their line ends), each with the time before it.

        A log that cannot be written ends nothing: the script may be what has filled the disk, and still runs.
        """
        stamp = time.strftime("%Y-%m-%d %H:%M:%S ").encode()
        for entry in self._last(entries):
            self._remember(as_text(entry))
        if self.left > 0 and not self.trouble:
            data = b"".join(stamp + entry for entry in entries)
            self.left -= len(data)
            if self.left <= 0:
                data += stamp + b"(the script log has reached its limit; further output is not kept)\n"
            try:
                write_all(self.fd, data)
            except OSError as error:
                self.trouble = why(error)
        self.poke()

    def _last(self, entries):
        """Those that may be in the tail when all are added: a script may write more than can be looked at."""
        size, first = 0, len(entries)
        while first and size < LOG_TAIL:
            first -= 1
            size += min(len(entries[first]), LOG_TAIL)
        return entries[max(0, first - 1) :]

    def _remember(self, text):
        if len(text) >= LOG_TAIL:
            text = "%s... (%d characters)\n" % (text[:LONG_LINE], len(text))
        self.entries.append(text)
        self.size += len(text)
        while self.size >= LOG_TAIL:
            self.size -= len(self.entries.pop(0))

    def tail(self):
        return "".join(self.entries)

    def close(self):
        os.close(self.fd)


class Script:
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


# What belongs to the connection or the worker, and no script should see: the agent is a service and has no such thing.
OF_CONNECTION = ("SSH_", "SUDO_", "XDG_", "TEMPORAL_", "TOWLINE_")
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_FILE")
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
NOT_FOR_SCRIPTS = (*SECRETS, "MAIL", "TERM", "OLDPWD", "PWD", "SHLVL", "_")


def own_environment():
    """The runner's environment, without what no script should see."""
    if os.environ.get("LC_CTYPE") in COERCED and os.environ.get("LANG", "C") in ("C", "POSIX", ""):
        os.environ.pop("LC_CTYPE")  # Python's own doing, where it was started without a locale
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OF_CONNECTION) and name not in NOT_FOR_SCRIPTS
    }


def profile_environment(environment):
    """The environment as /etc/profile makes it: AWS's agent is started so, and scripts have come to rely on it."""
    shell = find_tool("bash")
    if not shell or not os.path.exists("/etc/profile"):
        return environment
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            nothing = os.open("/dev/null", os.O_RDWR)
            for fd, number in ((nothing, 0), (writing, 1), (nothing, 2)):
                os.dup2(fd, number)
            source = "set -a; . /etc/profile >/dev/null 2>&1; exec env -0"
            os.execve(shell, [shell, "--norc", "-c", source], environment)
        finally:
            os._exit(127)
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        data = read_until(output.fileno(), time.monotonic() + PROFILE_SECONDS)
    if data is None:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pairs = [os.fsdecode(item).partition("=") for item in (data or b"").split(b"\0") if b"=" in item]
    return {key: value for key, _, value in pairs if key not in NOT_FOR_SCRIPTS} or environment


def read_until(fd, deadline):
    """All that comes to the end of file, or None where that takes too long."""
    data = b""
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(fd, 65536)
        if not piece:
            return data
        data += piece
    return None


# ------------------------------------------------------------------------------------------------------ lifecycle


class Deployment:
    """One deployment on this host, from its first event to its last; in the detached runner, holding both locks."""

    ignores_stop_failures = False

    def __init__(self, order, host, journal):
        self.order, self.host, self.journal = order, host, journal
        self.id = order["deployment"]
        self.limits = order.get("limits") or {}
        self.group = Group(host, order["group"]["id"])
        self.directory = host.deployment(self.group.id, self.id)
        self.archive = self.directory + "/" + ARCHIVE
        self.watchman = Watchman(host, self.id, self.limits)
        self._environment = None
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
        except StepFailed as failed:
            ended.update(outcome="failed", failed_event=self.event, error_code=failed.code)
            ended.update(script_name=failed.script, message=failed.message, log=failed.log)
        except Halted as halted:
            ended.update(outcome="interrupted" if halted.in_script else "stopped", message=halted.message)
            ended.update(failed_event=self.event if halted.in_script else "")
        self.journal.add("finished", **ended)

    def _events(self):
        events = list(self.order["events"])
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
        reason = self.watchman.reason()
        if reason:
            self._skip([self.event, *later])
            raise Halted(self.watchman.message(reason))
        if self.watchman.is_late():
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
                self._write_down(self.group.succeeded_file, record)
            except OSError as error:
                message = "every event succeeded, but %s, which undo relies on, cannot be written: %s"
                raise StepFailed(message % (as_text(self.group.succeeded_file), why(error))) from None

    def _write_down(self, path, value):
        """Writes a small file for which the disk must have room."""
        while True:
            try:
                return write_json(path, value)
            except OSError as error:
                if error.errno not in FULL or not give_room(self.host.reserve):
                    raise

    # -- DownloadBundle and Install

    def _download_bundle(self):
        """The archive is on this host already: here it is unpacked, and the oldest ones go."""
        prune(self.host, self.group, self.directory, self.limits)
        bundle = self.directory + "/" + BUNDLE
        for warning in unpack(bundle, self.order["revision"]["bundle_type"], self.archive, self.limits):
            self._warn(warning)
        write_synced(self.group.most_recent_file, os.fsencode(self.directory), 0o644)

    def _plan(self):
        disk = AfterCleanup(read_cleanup(self.group.cleanup))
        behavior = self.order.get("file_exists_behavior")
        return InstallPlan(self.host, self.order["plan"], OnDisk(self.archive), behavior, disk)

    def _install(self):
        """Plans against the disk as it will be, then cleans up, then applies: what can be known is known before."""
        plan = self._plan()
        for warning in plan.warnings:
            self._warn(warning)
        clean_up(self.group)
        Installer(plan, self.group, Keeper(self.group, self.id)).run()
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
        ends = time.monotonic() + (self.limits.get("event") or EVENT_SECONDS)
        try:
            log.add(("LifecycleEvent - %s\n" % self.event).encode())
            for index, script in enumerate(scripts):
                reason = self.watchman.reason() if index else None
                if reason:
                    raise Halted(self.watchman.message(reason), in_script=True)
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
        self._make_executable(path, location)
        command = command_of(script, path)
        log.add(b"Script - " + os.fsencode(script["location"]) + b"\n")
        running = Script(command, self._environment_of_event(), self.host.root or "/")
        try:
            running.fork()
        except OSError as error:
            message = "Script at specified location: %s could not be started: %s (ulimit -u, pids.max, free memory)"
            raise StepFailed(message % (location, why(error)), SCRIPT_FAILED, location) from None
        name = {"event": self.event, "script": location, "index": index}
        self.journal.add("script_started", pid=running.pid, start_time=running.start_time, **name)
        failed = running.release()
        if failed:
            os.waitpid(running.pid, 0)
            self.journal.add("script_ended", exit=None, signal=None, **name)
            message = "Script at specified location: %s%s failed with error %s" % (location, runas(script), why(failed))
            raise StepFailed(message, SCRIPT_FAILED, location)
        timeout = script.get("timeout") or EVENT_SECONDS
        deadline = min(time.monotonic() + timeout, event_ends, self.watchman.deadline)
        reason, left_open = running.follow(log, deadline, self.watchman.reason_now)
        self._hook_ended(script, name, running, reason, left_open, timeout)

    def _hook_ended(self, script, name, running, reason, left_open, timeout):
        killed = os.WIFSIGNALED(running.status)
        code = None if killed else os.WEXITSTATUS(running.status)
        self.journal.add("script_ended", exit=code, signal=os.WTERMSIG(running.status) if killed else None, **name)
        location = name["script"]
        if reason == "timeout":
            message = "Script at specified location: %s failed to complete in %d seconds" % (location, timeout)
            raise StepFailed(message, SCRIPT_TIMED_OUT, location)
        if reason:
            raise Halted(self.watchman.message(reason), in_script=True)
        if left_open:
            self._warn(
                "%s has ended, but a process that it started keeps its %s open; start daemons with "
                ">/dev/null 2>&1 </dev/null (AWS's agent fails such an event)" % (location, " and ".join(left_open))
            )
        if code != 0:
            shown = "(it was ended by signal %d)" % os.WTERMSIG(running.status) if killed else str(code)
            message = "Script at specified location: %s%s failed with exit code %s" % (location, runas(script), shown)
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
                environment = profile_environment(environment)
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


def runas(script):
    return "" if script.get("runas") is None else " run as user " + as_text(script["runas"])


def guarded(action):
    """Runs a built-in event; what the operating system refuses is the event's failure."""
    try:
        action()
    except OSError as error:
        place = " (%s)" % as_text(error.filename) if error.filename else ""
        raise StepFailed("%s%s" % (why(error), place)) from None


class Watchman:
    """Knows whether to stop: a halt file, silence, or the end of the deployment's time."""

    def __init__(self, host, deployment, limits):
        self.halt, self.asked = host.halt(deployment), host.asked(deployment)
        now = time.monotonic()
        self.silence = limits.get("silence")
        left = limits.get("deadline")
        self.deadline = float("inf") if left is None else now + left
        self.last_asked, self.last_mark = now, self._mark()

    def _mark(self):
        try:
            return os.stat(self.asked).st_mtime_ns
        except OSError:
            return None

    def reason(self):
        """`now`, `boundary`, `silence` or None."""
        word = read_bytes(self.halt)
        if word is not None:
            return "now" if word.strip() == b"now" else "boundary"
        return "silence" if self._is_silent() else None

    def reason_now(self):
        """While a script runs: only `now` ends it."""
        self._is_silent()
        return "now" if (read_bytes(self.halt) or b"").strip() == b"now" else None

    def _is_silent(self):
        # by changes of the mark and our own clock: the wall clock may jump
        mark, now = self._mark(), time.monotonic()
        if mark != self.last_mark:
            self.last_asked, self.last_mark = now, mark
        return bool(self.silence) and now - self.last_asked > self.silence

    def is_late(self):
        return time.monotonic() >= self.deadline

    def message(self, reason):
        if reason == "silence":
            return "halted: nobody has asked about this deployment for %d seconds" % self.silence
        return "halted on request"


# ----------------------------------------------------------------------------------------------------------- undo


def find_undo(host, order):
    """What an undo has to do here, from the journal of the deployment that it undoes.

    Returns ("nothing", why), ("clean", None) or ("install", directory); raises Refused where the host has moved on.
    """
    undone = order["undo"]
    group = Group(host, order["group"]["id"])
    records = Records(host.journal(undone))
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
    if not (os.path.exists(directory + "/" + BUNDLE) or os.path.isdir(directory + "/" + ARCHIVE)):
        message = "the archive of %s, which ran here before, is gone" % before["succeeded"]["deployment"]
        raise Refused("NothingToGoBackTo", message, "Deploy the wanted revision.")
    return "install", directory


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


class Undo(Deployment):
    """Puts the revision back that ran before, from its kept archive and plan.

    The application may be stopped already, or its stop script may be what is broken: a failing ApplicationStop is told,
    and does not keep the host from going back.
    """

    ignores_stop_failures = True

    def _download_bundle(self):
        if os.path.exists(self.directory + "/" + BUNDLE) and self.order["revision"].get("bundle_type"):
            Deployment._download_bundle(self)
            return
        # AWS's agent left an archive that we know no type of, or its bundle is gone: the unpacked one is taken
        prune(self.host, self.group, self.directory, self.limits)
        remove_tree(self.archive)
        failed = run_tool(["cp", "-a", self.order["undo_from"] + "/" + ARCHIVE, self.archive])
        if failed:
            raise StepFailed("DownloadBundle: the kept archive cannot be copied: " + failed)
        write_synced(self.group.most_recent_file, os.fsencode(self.directory), 0o644)

    def _install(self):
        """As ever, but what the undone deployment replaced comes back between clean-up and install."""
        self.order["file_exists_behavior"] = behavior_of_undo(self.order.get("file_exists_behavior"))
        self._plan()
        clean_up(self.group)
        for warning in Keeper(self.group, self.order["undo"]).restore():
            self._warn(warning)
        Deployment._install(self)


def behavior_of_undo(behavior):
    """Nothing of the user's can be in the way that was not there before: what stands there came later."""
    behavior = (behavior or "").upper()
    return "OVERWRITE" if behavior in ("", "DISALLOW") else behavior


CLEANED_BY = ("ApplicationStop", "Install")  # the events of an undo where nothing ran before


class CleanAway(Deployment):
    """Undo where nothing ran before: stops what was installed, removes it, brings back what it replaced."""

    ignores_stop_failures = True

    def _events(self):
        self.order["events"] = [event for event in CLEANED_BY if event in self.order["events"]]
        Deployment._events(self)

    def _install(self):
        clean_up(self.group)
        for warning in Keeper(self.group, self.order["undo"]).restore():
            self._warn(warning)
        for path in (self.group.last_install_file, self.group.most_recent_file, self.group.succeeded_file):
            remove(path)

    def _succeeded(self):
        pass  # nothing runs here now


class NothingToUndo(Deployment):
    """Undo of what never was: says so."""

    def run(self):
        ended = {"outcome": "succeeded", "failed_event": "", "error_code": SUCCESS, "script_name": "", "log": ""}
        self.journal.add("finished", message=self.order["nothing"], nothing_to_do=True, **ended)


def deployment_of(order):
    """Which story an order is."""
    if order["do"] != "undo":
        return Deployment
    return {"nothing": NothingToUndo, "clean": CleanAway, "install": Undo}[order["undo_kind"]]


# ------------------------------------------------------------------------------------------------------- recovery


def recover(host, own):
    """Ends what a runner that died has left. Whoever has just taken the host lock calls this first.

    `own` is looked at in any case: a journal that lost its end would else be followed for ever."""
    named = (read_bytes(host.working) or b"").decode("utf-8", "replace").strip()
    for deployment in filter(is_id, (named, own)):
        records = Records(host.journal(deployment))
        if records.all and not records.finished:
            end_open_script(records)
            write_interrupted(host, deployment, records)
    remove(host.working)


def end_open_script(records):
    """The processes of a script that has no end in the journal: TERM, then KILL; checked by boot and start time."""
    script = records.open_step("script_started", "script_ended")
    started = next((record for record in records.all if record.get("kind") == "started"), {})
    if not script or started.get("boot_id") != boot_id():
        return
    leader = process(script["pid"])
    if leader and leader[2] != script["start_time"]:
        return  # another process has that number now
    members = family(script["pid"])
    if not leader:
        # without its leader a session is known by its number only: the environment tells whose it is
        mark = ("DEPLOYMENT_ID=" + (records.key or {}).get("deployment", "")).encode()
        members = {
            pid: start
            for pid, start in members.items()
            if mark in (read_bytes("/proc/%d/environ" % pid) or b"").split(b"\0")
        }
    send_signal(members, signal.SIGTERM)
    ends = time.monotonic() + TERM_TO_KILL
    while alive(members):
        if time.monotonic() >= ends:
            if leader:
                kill_all(script["pid"], members)
            else:
                send_signal(members, signal.SIGKILL)
            ends += 1
        time.sleep(0.02)


def write_interrupted(host, deployment, records):
    """Ends a journal whose runner died: nothing of it is run again, and nothing of it counts as done."""
    last = records.all[-1]
    base = time.monotonic() - (last.get("offset") or 0)
    journal = Journal(host.journal(deployment), last.get("seq", 0), base, reserve=host.reserve)
    event = records.open_step("event_started", "event_ended")
    name = event["event"] if event else ""
    message = "the runner or the host died%s; what was under way was not run again" % (" in " + name if name else "")
    details = {"error_code": FAILED_AFTER_RESTART, "script_name": "", "message": message, "log": ""}
    script = records.open_step("script_started", "script_ended")
    if script:
        details["script_name"] = script["script"]
    if event:
        journal.add("event_ended", event=name, status="Failed", noop=False, **details)
    journal.add("finished", outcome="interrupted", failed_event=name, nothing_to_do=False, **details)
    journal.close()


def write_lost(host, order):
    """The caller knows that a runner was started, and its journal is not there: it must not run again."""
    journal = Journal(host.journal(order["deployment"]), int(order.get("after") or 0), reserve=host.reserve)
    message = "this deployment was started here, but its journal is gone; what it did is not known"
    ended = {"error_code": FAILED_AFTER_RESTART, "script_name": "", "message": message, "log": "", "failed_event": ""}
    journal.add("finished", key=key_of(order), outcome="interrupted", nothing_to_do=False, **ended)
    journal.close()


# ---------------------------------------------------------------------------- inventory, plan, check, halt, logs


def inventory(host, order):
    """What is installed and what last succeeded, by group."""
    ending, groups = "_last_successful_install", set()
    for directory, suffix in ((host.instructions, ending), (host.state + "/groups", ".json")):
        if os.path.isdir(directory):
            groups |= {name[: -len(suffix)] for name in os.listdir(directory) if name.endswith(suffix)}
    found = {}
    for name in sorted(groups):
        group = Group(host, name)
        found[as_text(name)] = {"installed": group.installed(), "succeeded": group.succeeded()}
    return {"kind": "inventory", "groups": found}


def preview(host, order):
    """What a deploy of this order, or an undo of `undo`, would remove, add, change and run. Touches nothing."""
    group = Group(host, order["group"]["id"])
    answer = {"kind": "plan", "removed": [], "added": [], "changed": [], "unchanged": 0, "run": []}
    answer.update(runs_now=group.installed(), complete=True)
    if order.get("undo"):
        return preview_undo(host, order, group, answer)
    answer["run"] = preview_scripts(order, group)
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
    if kind == "nothing":
        answer.update(nothing=found, back_to=answer["runs_now"])
        return answer
    restored = [from_json_path(entry["path"]) for entry in Keeper(group, order["undo"]).entries]
    if kind == "clean":
        order = dict(order, plan={}, events=[event for event in order.get("events") or () if event in CLEANED_BY])
        answer["run"] = preview_scripts(order, group)
        return preview_files(answer, host, order, group, Listed([]), restored)
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
    lines = read_cleanup(group.cleanup)
    try:
        plan = InstallPlan(
            host, order.get("plan") or {}, sources, order.get("file_exists_behavior"), AfterCleanup(lines)
        )
    except StepFailed as failed:
        answer["problem"] = failed.message
        return answer
    answer["warnings"] = plan.warnings
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
    for line in lines:
        path = exact(line)
        stays = path in plan.copies or path in restored
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


def check(host, order):
    """Whether this host could take a deployment."""
    findings = []

    def finding(name, ok, message):
        findings.append({"name": name, "ok": bool(ok), "message": as_text(message)})

    finding("python", True, "Python %s, %s" % (sys.version.split()[0], sys.executable))
    is_root = os.geteuid() == 0
    finding(
        "root", is_root or host.root, "user id %d%s" % (os.geteuid(), "" if is_root else "; only root may set owners")
    )
    try:
        host.make()
        finding("roots", True, "%s and %s can be written" % (host.deployments, host.state))
    except Refused as refused:
        finding("roots", False, refused.message)
    finding("disk", *disk_finding(host, order))
    agent = aws_agent()
    allowed = order.get("allow_aws_agent") or host.root
    finding(
        "aws-agent",
        not agent or allowed,
        "AWS's agent runs (process %d)" % agent if agent else "AWS's agent does not run",
    )
    missing = missing_tools(order)
    finding("tools", not missing, "missing: " + ", ".join(missing) if missing else "nothing is missing")
    finding("clock", True, "compare `time` with your own")
    return {"kind": "check", "findings": findings, "time": time.time()}


def disk_finding(host, order):
    """(ok, message): room for the archive, its unpacked form and its installed form, four times its size in all."""
    place = host.deployments
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    info = os.statvfs(place)
    free = info.f_bavail * info.f_frsize
    needed = max(100 << 20, 4 * ((order.get("revision") or {}).get("size") or 0))
    return free >= needed, "%d MiB free at %s, %d needed" % (free >> 20, place, needed >> 20)


def missing_tools(order):
    """Programs that this plan needs and this host has not."""
    plan = order.get("plan") or {}
    needed = set()
    for permission in plan.get("permissions") or ():
        needed |= {"setfacl"} if permission.get("acls") is not None else set()
        needed |= {"semanage", "restorecon"} if permission.get("context") is not None else set()
    for scripts in (plan.get("hooks") or {}).values():
        for script in scripts:
            needed |= {"su"} if script.get("runas") is not None else set()
            needed |= {"sudo"} if script.get("sudo") else set()
    return sorted(name for name in needed if not find_tool(name))


def aws_agent():
    """The number of a process of AWS's agent, or 0: Ruby's calls itself `codedeploy-agent: ...`."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        words = (read_bytes("/proc/%s/cmdline" % name) or b"").split(b"\0")
        first = words[0]
        if first.startswith(b"codedeploy-agent:") or first.rsplit(b"/", 1)[-1] == b"codedeploy-agent":
            return int(name)
        if b"ruby" in first and any(word.endswith(b"bin/codedeploy-agent") for word in words[1:3]):
            return int(name)
    return 0


def halt(host, order):
    """Asks a deployment to stop. One that has ended already is left alone."""
    deployment = order["deployment"]
    finished = Records(host.journal(deployment)).finished
    if not finished:
        ask_to_halt(host, deployment, order.get("halt"))
    return {"kind": "halt", "deployment": deployment, "finished": bool(finished)}


def ask_to_halt(host, deployment, word):
    """`now` is never softened to `boundary`."""
    if word not in ("boundary", "now"):
        raise Refused("InvalidOrder", "halt is neither `boundary` nor `now`")
    if read_bytes(host.halt(deployment)) != b"now":
        write_synced(host.halt(deployment), word.encode())


def logs(host, order):
    """The script log of a deployment."""
    data = read_bytes(host.script_log(order["group"]["id"], order["deployment"])) or b""
    return {"kind": "logs", "text": as_text(data[-DEFAULT_LOG_BYTES:])}


ANSWERS = {"inventory": inventory, "plan": preview, "check": check, "halt": halt, "logs": logs}


# ------------------------------------------------------------------------------------------------------- the wire


class Wire:
    """JSON lines from the caller on one descriptor, events to it on another."""

    def __init__(self, source=0, sink=1):
        self.source, self.sink = source, sink
        self.buffer = b""

    def send(self, *events):
        """Raises Gone where nobody listens any more."""
        try:
            write_all(self.sink, b"".join(dumps(event).encode() + b"\n" for event in events))
        except OSError:
            raise Gone() from None

    def wait(self, seconds, *others):
        """Waits for the caller or for one of `others` (descriptors). Returns those that have something."""
        if b"\n" in self.buffer:  # a line that came along with the end of an archive
            return [self.source, *select.select(others, [], [], 0)[0]]
        return select.select([self.source, *others], [], [], seconds)[0]

    def rest(self, seconds, other):
        """Waits, but not past a word of the caller's or the end of `other`, whatever else that one has."""
        poll = select.poll()
        poll.register(self.source, select.POLLIN)
        poll.register(other, 0)
        if b"\n" not in self.buffer:
            poll.poll(int(seconds * 1000))

    def _fill(self):
        try:
            data = os.read(self.source, 65536)
        except OSError:
            data = b""
        if not data:
            raise Gone()
        self.buffer += data

    def line(self, seconds):
        """The next JSON object, or None if there is none in time. Raises Gone at the end of input."""
        ends = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            if self.source not in select.select([self.source], [], [], max(0.0, ends - time.monotonic()))[0]:
                return None
            self._fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            value = loads(line.decode())
        except ValueError as error:
            raise Refused("InvalidOrder", "not a line of JSON: %s" % error) from None
        if not isinstance(value, dict):
            raise Refused("InvalidOrder", "not a JSON object")
        return value

    def pieces(self, size):
        """Exactly `size` bytes, in pieces. Raises Gone at the end of input, Refused where they stop coming."""
        while size:
            if not self.buffer:
                if not select.select([self.source], [], [], REPLY_SECONDS)[0]:
                    raise Refused("TransferStalled", "the archive stopped coming")
                self._fill()
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            size -= len(piece)
            yield piece


# ---------------------------------------------------------------------------------------------- the connected end


def key_of(order):
    return {name: order.get(name) for name in ("deployment", "run", "instance")}


class ConnectedEnd:
    """Takes the locks, gets the archive, starts the runner, and tells the caller what the journal says."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.id = order["deployment"]
        self.limits = order.get("limits") or {}
        self.told = False  # whether the caller knows that it is attached
        self.follower = Follower(order, host, wire)

    def run(self):
        """Until the journal is finished, or the caller has gone."""
        try:
            touch(self.host.asked(self.id))
            Lock(self.host.lock("deployment-" + self.id)).close()
        except OSError as error:
            raise cannot_store(error.filename or self.host.state, error) from None
        ended = False
        while not ended:
            lock = take(self.host.lock("deployment-" + self.id))
            if lock is None:
                ended = self._attach()
                continue
            try:
                ended = self._own(lock)
            except Refused:
                remove(self.host.asked(self.id))
                raise
            finally:
                lock.close()
        remove(self.host.asked(self.id))

    def _attach(self):
        """Somebody works or waits for this deployment: follows until it is finished (True) or nobody is (False)."""
        self._tell_attached()
        while True:
            if self.follower.step():
                return True
            lock = take(self.host.lock("deployment-" + self.id))
            if lock:
                lock.close()
                return self.follower.step()
            self._listen(0.05)

    def _tell_attached(self):
        if not self.told:
            self.told = True
            self.wire.send({"kind": "attached"})

    def _own(self, lock):
        """We have the deployment's lock. True once the journal is finished."""
        records = Records(self.host.journal(self.id))
        self._check_key(records)
        if not records.finished:
            host_lock = self._host_lock(bool(records.all))
            try:
                recover(self.host, self.id)
                records.read_more()
                if not records.all and not self.order.get("started"):
                    return self._begin(lock, host_lock)
                if not records.all:
                    write_lost(self.host, self.order)
            finally:
                host_lock.close()
        self._tell_attached()
        return self.follower.step()

    def _check_key(self, records):
        if records.all and records.key != key_of(self.order):
            message = "%s has a journal of another run here (%s)" % (self.id, dumps(records.key, sort_keys=True))
            raise Refused("JournalOfAnotherRun", message, "Use a new deployment id.")

    def _host_lock(self, began):
        """The right to work, as soon as it is ours; the caller hears whom it waits for."""
        lock = Lock(self.host.lock("host"))
        ends = time.monotonic() + (self.limits.get("lock_wait") or 0)
        said = 0.0
        while not lock.try_take():
            now = time.monotonic()
            if now >= ends:
                holder = self._holder()
                lock.close()
                raise Refused("HostBusy", "another deployment%s works on this host" % (holder and " (%s)" % holder))
            if now - said >= 2:
                said = now
                self.wire.send({"kind": "waiting", "holder": self._holder()})
            self._listen(min(0.05, ends - now))
            if not began and os.path.exists(self.host.halt(self.id)):
                lock.close()
                remove(self.host.halt(self.id))
                raise Refused("Stopped", "halted on request while it waited for the host, before anything was begun")
        return lock

    def _holder(self):
        return as_text((read_bytes(self.host.working) or b"").strip())

    def _listen(self, seconds, *others):
        """Waits a little, hears requests to halt, shows that somebody asks."""
        self.follower.show_interest()
        if self.wire.source in self.wire.wait(seconds, *others):
            word = (self.wire.line(5) or {}).get("halt")
            if word:
                ask_to_halt(self.host, self.id, word)

    def _begin(self, lock, host_lock):
        """Nothing has been done yet: checks, gets what is missing, starts the runner and follows it."""
        if not self.order.get("allow_aws_agent") and not self.host.root and aws_agent():
            hint = "Stop it (systemctl disable --now codedeploy-agent), or allow it for this host."
            raise Refused("AwsAgentRuns", "AWS's CodeDeploy agent runs on this host (process %d)" % aws_agent(), hint)
        self._prepare()
        self._listen(0)  # a stop may have come behind the archive
        if os.path.exists(self.host.halt(self.id)):
            remove(self.host.halt(self.id))
            raise Refused("Stopped", "halted on request, before anything was begun")
        try:
            reader = start_detached(self.order, self.host, lock, host_lock)
        except OSError as error:
            hint = "The host has no room for one more process: see ulimit -u, pids.max and free memory there."
            raise Refused("CannotStart", "the runner cannot be started: %s" % why(error), hint) from None
        try:
            while not self.follower.step():
                self.wire.rest(BETWEEN_MESSAGES, reader)
                self._listen(1.0, reader)
                if select.select([reader], [], [], 0)[0] and not os.read(reader, 4096):
                    return self.follower.step()
            # the runner tidies up after its last record: whoever comes next finds the host free
            while select.select([reader], [], [], 1.0)[0] and os.read(reader, 4096):
                pass
            return True
        finally:
            os.close(reader)

    def _prepare(self):
        """Raises Refused with nothing begun. An undo on a full disk takes the room of what it undoes."""
        try:
            try:
                self._prepare_once()
            except OSError as error:
                if error.errno not in FULL or not self._make_room():
                    raise
                self._prepare_once()
        except OSError as error:
            raise cannot_store(error.filename or self.host.state, error) from None

    def _prepare_once(self):
        keep_reserve(self.host.reserve)
        Preparation(self.order, self.host, self.wire).run()

    def _make_room(self):
        if self.order["do"] != "undo":
            return False
        group = Group(self.host, self.order["group"]["id"])
        undone = self.host.deployment(group.id, self.order["undo"])
        if undone in (group.last_install(), group.succeeded_directory()):
            return False  # its scripts are needed
        remove(undone + "/" + BUNDLE)
        remove_tree(undone + "/" + ARCHIVE)
        return True


class Follower:
    """Tells the caller the journal's records and the script log as they grow."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.after = int(order.get("after") or 0)
        self.log_at = int(order.get("log_after") or 0)
        self.records = Records(host.journal(order["deployment"]))
        self.unsent = list(self.records.all)
        self.interest = 0.0

    def step(self):
        """Tells what is new. True once `finished` is told."""
        self.unsent.extend(self.records.read_more())
        finished = bool(self.records.finished)
        self._log(finished)
        # `finished` is told in any case: after a power cut a caller may know of records that the disk does not
        events = [r for r in self.unsent if r.get("seq", 0) > self.after or r.get("kind") == "finished"]
        self.unsent = []
        if events:
            self.wire.send(*events)
        return finished

    def _log(self, to_the_end):
        try:
            fd = os.open(self.host.script_log(self.order["group"]["id"], self.order["deployment"]), os.O_RDONLY)
        except OSError:
            return
        try:
            while True:
                data = os.pread(fd, 32768, self.log_at)
                whole = data if to_the_end or len(data) == 32768 else data[: data.rfind(b"\n") + 1]
                if not whole:
                    return
                ends = self.log_at + len(whole)  # text may be longer: bytes that are no UTF-8 are replaced
                self.wire.send({"kind": "log", "at": self.log_at, "end": ends, "text": as_text(whole)})
                self.log_at = ends
        finally:
            os.close(fd)

    def show_interest(self):
        now = time.monotonic()
        if now - self.interest >= 1:
            self.interest = now
            touch(self.host.asked(self.order["deployment"]))


def get_plainly(url):
    """(HTTP status, body of an answer 200 that tells its length); (0, None) for all that urllib has to see to.

    Loading urllib takes longer than fetching a small archive, and S3's presigned addresses need nothing of what it
    can do. Raises OSError and ValueError as urllib does.
    """
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    has_proxy = any(name.lower().endswith("_proxy") for name in os.environ)
    if scheme not in ("http", "https") or has_proxy or not place or set(place) & set("@[]"):
        return 0, None
    host, _, port = place.partition(":")
    request = "GET /%s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n" % (path, place)
    answer = Answer(connect(scheme, host, int(port or (443 if scheme == "https" else 80))))
    try:
        status = answer.ask(request.encode("ascii"))
    except BaseException:
        answer.close()
        raise
    if status == 200 and b"content-length" in answer.headers and b"transfer-encoding" not in answer.headers:
        return status, answer
    answer.close()
    return (status if status >= 400 else 0), None


class Answer:
    """An HTTP answer that ends with its connection."""

    def __init__(self, connection):
        self.connection, self.headers, self.read = connection, {}, b""

    def ask(self, request):
        """The status, once the headers are there; 0 where that is not HTTP's usual form."""
        self.connection.sendall(request)
        while b"\r\n\r\n" not in self.read:
            piece = self.connection.recv(CHUNK)
            if not piece or len(self.read) > CHUNK:
                return 0
            self.read += piece
        head, _, self.read = self.read.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        for name, _, value in (line.partition(b":") for line in lines):
            self.headers[name.strip().lower()] = value.strip()
        return int((first.split()[1:2] or [b"0"])[0])

    def read1(self, most):
        """What there is of the body, at most so many bytes; none at the end."""
        piece, self.read = self.read[:most], self.read[most:]
        return piece or self.connection.recv(most)

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(scheme, host, port):
    """A connection to a web server, its certificate checked. The host as bytes: for text Python loads its tables of
    international names."""
    if scheme == "https":
        import socket
        import ssl

        with socket.create_connection((host.encode("ascii"), port), HTTP_SECONDS) as connection:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    try:
        import _socket as socket  # as with signal
    except ImportError:
        import socket
    trouble = OSError("the name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host.encode("ascii"), port, 0, socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(HTTP_SECONDS)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            trouble = error
    raise trouble


class Preparation:
    """Everything that must be there before the first event: the archive, its plan, the plan of what runs now."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.group = Group(host, order["group"]["id"])
        self.directory = host.deployment(self.group.id, order["deployment"])

    def run(self):
        """Completes the order; raises Refused with nothing begun."""
        if self.order["do"] == "undo":
            self._undo()
        else:
            self._archive()
        if self.order.get("plan") is not None:
            self._keep_plan()
        for directory in {self.group.last_install(), self.group.most_recent()}:
            if directory and directory != self.directory and not self._is_only_nothing():
                self._plan_of(directory)

    def _is_only_nothing(self):
        return self.order.get("undo_kind") == "nothing"

    def _undo(self):
        kind, found = find_undo(self.host, self.order)
        self.order.update(undo_kind=kind, creator="codeDeployRollback", revision=None, plan=None)
        if kind == "nothing":
            self.order["nothing"] = found
        elif kind == "install":
            self._plan_of(found)
            revision, plan, behavior = revision_kept_in(found)
            keep_bundle_of(found, self.directory)
            self.order.update(revision=revision, plan=plan, file_exists_behavior=behavior, undo_from=found)

    def _keep_plan(self):
        """Beside the archive, so that the next stop, and undo, need nobody."""
        os.makedirs(self.directory, 0o755, exist_ok=True)
        kept = {"v": VERSION, "undoes": self.order.get("undo") if self.order["do"] == "undo" else None}
        for name in ("deployment", "group", "creator", "type", "revision", "plan", "file_exists_behavior"):
            kept[name] = self.order.get(name)
        write_json(self.directory + "/" + KEPT_PLAN, kept)

    def _plan_of(self, directory):
        """An archive that AWS's agent left has no plan yet: the caller compiles it from its AppSpec."""
        archive = directory + "/" + ARCHIVE
        if os.path.exists(directory + "/" + KEPT_PLAN) or not os.path.isdir(archive):
            return
        for name in ("appspec.yml", "appspec.yaml"):
            appspec = read_bytes(archive + "/" + name)
            if appspec is not None:
                need = {"what": "plan", "deployment": as_text(os.path.basename(directory))}
                reply = self._ask("plan", appspec=as_text(appspec), name=name, **need)
                kept = {"v": VERSION, "deployment": os.path.basename(directory), "plan": as_name(reply.get("plan"))}
                write_json(directory + "/" + KEPT_PLAN, dict(kept, of_aws_agent=True))
                return

    # -- the archive

    def _archive(self):
        revision = self.order.get("revision") or {}
        bundle = self.directory + "/" + BUNDLE
        if self._is_right(bundle, revision) or self._link_known(bundle, revision):
            return
        existed = os.path.isdir(self.directory)
        os.makedirs(self.directory, 0o755, exist_ok=True)
        try:
            self._fetch(bundle, revision)
        except (Refused, Gone):
            remove(bundle + ".part")
            if not existed:
                os.rmdir(self.directory)
            raise

    def _is_right(self, path, revision):
        size = revision.get("size")
        if not os.path.isfile(path) or (size is not None and os.path.getsize(path) != size):
            return False
        return sha256_of(path)[0] == revision["sha256"]

    def _link_known(self, bundle, revision):
        """The same archive may be here under another deployment's name."""
        base = self.host.deployments + "/" + self.group.id
        for name in os.listdir(base) if os.path.isdir(base) else ():
            known = "%s/%s" % (base, name)
            kept = read_json(known + "/" + KEPT_PLAN) or {}
            if (kept.get("revision") or {}).get("sha256") != revision["sha256"] or known == self.directory:
                continue
            if self._is_right(known + "/" + BUNDLE, revision):
                keep_bundle_of(known, self.directory)
                return True
        return False

    def _fetch(self, bundle, revision):
        """By the URL if there is one, asked for anew if it has expired, else through the connection."""
        reason = "there is no URL"
        url, renewals = self.order.get("url"), 0
        while url:
            status, reason = self._download(url, bundle, revision)
            if reason is None:
                return
            url = None
            if status in (401, 403) and renewals < 1:
                renewals += 1
                url = self._ask("url", what="url").get("url")
        reply = self._ask("archive", what="archive", reason=reason)
        if revision.get("size") is not None and reply.get("size") != revision["size"]:
            message = "the archive has %s bytes, the revision %s" % (reply.get("size"), revision["size"])
            raise Refused("WrongArchive", message)
        failed = self._store(self.wire.pieces(reply["size"]), bundle, revision)
        if failed:
            raise Refused("WrongArchive", failed)

    def _download(self, url, bundle, revision):
        """(HTTP status or 0, why it failed or None)."""
        try:
            status, answer = get_plainly(url)
            if status >= 400:
                return status, "the URL answers %d" % status
            if answer is None:
                return self._download_by_urllib(url, bundle, revision)
            with answer:
                return 0, self._store(self._pieces_of(answer), bundle, revision)
        except (OSError, ValueError) as error:  # URLError, timeouts and TLS are OSErrors; never show the URL: a secret
            reason = getattr(error, "reason", None) or (why(error) if isinstance(error, OSError) else "")
            return 0, "the URL cannot be read: %s" % as_text(str(reason or type(error).__name__))

    def _pieces_of(self, answer):
        """The body as it comes. A source may be slow: a stop ends the wait for it, and so does the caller's leaving."""
        while True:
            piece = answer.read1(CHUNK)
            if not piece:
                return
            yield piece
            if self.wire.wait(0) and "halt" in (self.wire.line(5) or {}):
                raise Refused("Stopped", "halted on request, before anything was begun")

    def _download_by_urllib(self, url, bundle, revision):
        import http.client
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(url, timeout=HTTP_SECONDS) as answer:
                return 0, self._store(self._pieces_of(answer), bundle, revision)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "the URL answers %d" % error.code
        except http.client.HTTPException as error:
            return 0, "the URL's answer breaks off: %s" % type(error).__name__

    def _store(self, pieces, bundle, revision):
        """Writes and checks; the name is given only to what is right. Returns what was wrong, or None."""
        import hashlib

        digest, size, told = hashlib.sha256(), 0, time.monotonic()
        expected = revision.get("size")
        fd = os.open(bundle + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for piece in pieces:
                size += len(piece)
                if expected is not None and size > expected:
                    return "the archive is longer than the revision's %d bytes" % expected
                digest.update(piece)
                try:
                    write_all(fd, piece)
                except OSError as error:
                    raise cannot_store("the archive", error) from None
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    touch(self.host.asked(self.order["deployment"]))
                    self.wire.send({"kind": "transfer", "bytes": size, "size": expected})
        finally:
            os.close(fd)
        if expected is not None and size != expected:
            return "the archive has %d bytes, the revision %d" % (size, expected)
        if digest.hexdigest() != revision["sha256"]:
            return "the archive's SHA-256 is %s, the revision's %s" % (digest.hexdigest(), revision["sha256"])
        os.rename(bundle + ".part", bundle)
        self.wire.send({"kind": "transfer", "bytes": size, "size": size})
        return None

    def _ask(self, reply, **fields):
        """A `need`, and the caller's answer to it."""
        self.wire.send(dict(fields, kind="need"))
        ends = time.monotonic() + REPLY_SECONDS
        while True:
            answer = self.wire.line(max(0.0, ends - time.monotonic()))
            if answer is None:
                raise Refused("NoReply", "no answer to the need for: %s" % fields["what"])
            if "halt" in answer:
                raise Refused("Stopped", "halted on request, before anything was begun")
            if answer.get("reply") == "none":
                raise Refused(answer.get("code") or "NotToBeHad", answer.get("message") or "it cannot be had")
            if answer.get("reply") == reply:
                return answer


# ------------------------------------------------------------------------------------------------ detached runner


def start_detached(order, host, lock, host_lock):
    """Starts the runner out of the connection's reach. Returns a descriptor that is readable when there is news, and at
    its end when the runner has ended. Our copies of the locks are closed: they are the runner's now."""
    order = {name: value for name, value in order.items() if name != "url"}
    reader = None
    if os.path.isdir(SYSTEMD_RUNS) and os.path.isfile(os.path.abspath(__file__)):
        reader = start_in_scope(order, host, lock, host_lock)
    if reader is None:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            be_detached(order, host, writer)
        os.close(writer)
    lock.close()
    host_lock.close()
    return reader


# Imported, not run as a script: its compiled form is kept then, and this file is long.
DETACHED = """import sys
sys.path.insert(0, sys.argv[1])
runner = __import__(sys.argv[2])
del sys.path[0]
runner.detached_main(sys.argv[3:])"""


def start_in_scope(order, host, lock, host_lock):
    """Under systemd a service's end takes all its processes along, and a session's end may: so in a scope of its own.
    None where systemd-run does not do it; nothing has begun then."""
    import tempfile

    reader, writer = os.pipe()
    with tempfile.TemporaryFile(dir=host.state) as handover:
        handover.write(dumps(order).encode())
        handover.flush()
        inherited = (handover.fileno(), writer, lock.fd, host_lock.fd)
        if os.fork() == 0:
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
            return reader
    os.close(reader)
    return None


def detached_main(fds):
    """The runner as systemd-run starts it: order, news and locks come as descriptors."""
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
        os.umask(0o022)  # under systemd-run this process has not been through `serve`
        os.chdir("/")
        os.set_blocking(writer, False)
        work(order, host, lambda: poke(writer))
        status = 0
    except BaseException:
        leave_trace(host, order)
    finally:
        os._exit(status)


def poke(writer):
    """Tells the connected end, if there still is one, that there is news."""
    try:
        os.write(writer, b".")
    except OSError:
        pass


def work(order, host, poke):
    """One deployment, from its first journal record to its last."""
    poke()
    deployment = order["deployment"]
    group = Group(host, order["group"]["id"])
    write_synced(host.working, deployment.encode())
    journal = Journal(host.journal(deployment), poke=poke, reserve=host.reserve)
    revision = order.get("revision")
    shown = {"label": as_text(revision.get("label") or ""), "sha256": revision.get("sha256")} if revision else None
    before = {"installed": group.installed(), "succeeded": group.succeeded()}
    journal.add(
        "started", key=key_of(order), boot_id=boot_id(), pid=os.getpid(), do=order["do"], revision=shown, before=before
    )
    story = deployment_of(order)(order, host, journal)
    try:
        story.run()
    except Exception as error:
        leave_trace(host, order)
        details = {"error_code": UNKNOWN_ERROR, "script_name": "", "log": "", "nothing_to_do": False}
        message = "a fault of the runner: %s: %s" % (type(error).__name__, error)
        event = getattr(story, "event", "")
        journal.add("finished", outcome="failed", failed_event=event, message=message, **details)
    for path in (host.working, host.halt(deployment), host.asked(deployment)):
        remove(path)


def leave_trace(host, order):
    """A fault of ours: its traceback beside the journal."""
    import traceback

    try:
        write_synced(host.journal(order["deployment"]) + ".trace", traceback.format_exc().encode("utf-8", "replace"))
    except OSError:
        pass


# ----------------------------------------------------------------------------------------------------------- main


def check_order(order):
    """Raises Refused where an order cannot be one."""
    if order.get("v") != VERSION:
        raise Refused("InvalidOrder", "this runner understands version %d, not %r" % (VERSION, order.get("v")))
    do = order.get("do")
    if do not in ANSWERS and do not in ("deploy", "undo"):
        raise Refused("InvalidOrder", "do %r is not known" % do)
    root = order.get("root") or ""
    if root and not root.startswith("/"):
        raise Refused("InvalidOrder", "root %r is not absolute" % root)
    if do in ("inventory", "check"):
        return
    if not is_id(order.get("deployment")) or len(order["deployment"]) > 64:
        raise Refused("InvalidOrder", "deployment %r cannot be a name of files" % order.get("deployment"))
    if do == "halt":
        return
    if not is_id((order.get("group") or {}).get("id")):
        raise Refused("InvalidOrder", "group.id %r cannot be a name of files" % (order.get("group") or {}).get("id"))
    check_work(order, do)


def check_work(order, do):
    if (do == "undo" or order.get("undo")) and not is_id(order.get("undo")):
        raise Refused("InvalidOrder", "undo %r is no deployment id" % order.get("undo"))
    if do == "deploy":
        revision = order.get("revision") or {}
        if not isinstance(order.get("plan"), dict) or not revision.get("sha256"):
            raise Refused("InvalidOrder", "a deploy needs plan and revision.sha256")
        if revision.get("bundle_type") not in ("tar", "tgz", "zip"):
            raise Refused(
                "InvalidOrder", "revision.bundle_type %r is none of tar, tgz, zip" % revision.get("bundle_type")
            )
    if do in ("deploy", "undo"):
        group = order["group"]
        if not isinstance(order.get("events"), list):
            raise Refused("InvalidOrder", "events is not a list")
        if not isinstance(group.get("name"), str) or not isinstance(group.get("application"), str):
            raise Refused("InvalidOrder", "group.name and group.application are needed")


def serve(wire):
    """Takes one order and does what it says."""
    os.umask(0o022)  # scripts of other users must be able to reach their archive
    order = wire.line(REPLY_SECONDS)
    if order is None:
        raise Refused("InvalidOrder", "no order came")
    check_order(order)
    order = as_name(order)
    host = Host(order)
    if order["do"] in ANSWERS:
        if order["do"] == "halt":
            host.make()
        wire.send(ANSWERS[order["do"]](host, order))
        return
    host.make()
    ConnectedEnd(order, host, wire).run()


def main():
    """Never returns. The exit status is 0 unless the runner itself is broken: what happened is told by events."""
    wire = Wire()
    try:
        serve(wire)
    except Refused as refused:
        try:
            told = {"code": refused.code, "message": as_text(refused.message), "hint": as_text(refused.hint)}
            wire.send(dict(told, kind="refused"))
        except Gone:
            pass
    except Gone:
        pass
    os._exit(0)  # nothing is left to be flushed or closed, and taking an interpreter down takes as long as two hooks


if __name__ == "__main__":
    main()
