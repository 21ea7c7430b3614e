"""The runner's own record of what a group's last Install made: where only the runner can write."""

import os

from towline.host.runner.constants import KEPT_PLAN
from towline.host.runner.files import read_bytes, read_json, remove, write_synced
from towline.host.runner.json_binding import dumps, loads
from towline.host.runner.text import as_json_path, from_json_path


class InstallRecord:
    """The lines of the clean-up list once more, and the root that they were below.

    The list is the agent's: anything may have been written to it, and a `local` root may have been copied since.
    """

    def __init__(self, group):
        self.group = group
        self.path = group.record
        self.root, self.lines = None, []
        self.hidden = []  # of the lines: what is mounted over them came later
        self._read()

    def _read(self):
        """A last line that was torn does not count."""
        data = read_bytes(self.path) or b""
        for line in data[: data.rfind(b"\n") + 1].splitlines():
            try:
                value = loads(line.decode())
            except ValueError:
                continue
            if isinstance(value, dict):
                self.root = from_json_path(value.get("root") or "")
                self.hidden = [from_json_path(path) for path in value.get("hidden") or ()]
            elif isinstance(value, str):
                self.lines.append(from_json_path(value))

    def is_of_list(self):
        """Whether the clean-up list is ours: AWS's agent may have deployed since, and written one of its own."""
        if self.root is None:
            return False
        for directory in (self.group.last_install(), self.group.most_recent()):
            kept = read_json(directory + "/" + KEPT_PLAN) if directory else {}
            if kept is None or kept.get("of_aws_agent"):
                return False
        return True

    def here(self, path):
        """A path of the record, where it lies now that the root may be another one."""
        if self.root is None or self.root == self.group.host.root:
            return path
        if path == self.root or path.startswith(self.root + "/"):
            return self.group.host.root + path[len(self.root) :]
        return path

    def begin(self, lines):
        """Starts anew with lines of things that are still there. Returns a descriptor for `add`."""
        hidden = [as_json_path(path) for path in self.hidden if path in lines]
        head = {"root": as_json_path(self.group.host.root), "hidden": hidden}
        record = (dumps(head) + "\n").encode() + b"".join(map(record_line, lines))
        if read_bytes(self.path) != record:
            write_synced(self.path, record)
            return os.open(self.path, os.O_WRONLY | os.O_APPEND)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.fsync(descriptor)  # clean-up has written it so, mostly: then there is nothing to do
        return descriptor

    def forget(self):
        remove(self.path)


def record_line(path):
    """A line of the record, as bytes."""
    return (dumps(as_json_path(path)) + "\n").encode()


class History:
    """What can be said of a file that is in the way, when the clean-up list does not name it."""

    def __init__(self, group, deployment):
        self.list = group.cleanup
        record = InstallRecord(group)
        self._made = {record.here(line) for line in record.lines}
        others = os.listdir(os.path.dirname(deployment)) if os.path.isdir(os.path.dirname(deployment)) else ()
        has_others = any(name != os.path.basename(deployment) for name in others)
        self.is_lost = has_others and record.root is None and not os.path.exists(group.cleanup)

    def made(self, path):
        """Whether this group's last Install has made what is at a path."""
        return path in self._made
