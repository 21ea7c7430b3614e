"""Keeps the files that OVERWRITE replaces, so that a rollback can bring them back."""

import os
import stat

from towline.host.runner.copying import FRESH, attributes_of, copy_content, open_source
from towline.host.runner.errors import why
from towline.host.runner.files import make_private, read_json, remove_tree, write_json
from towline.host.runner.owned_path import open_directory, open_place, real_path, stat_at
from towline.host.runner.text import as_json_path, as_text, from_json_path


class Keeper:
    """Keeps what OVERWRITE replaces, so that undo can bring it back. One directory per group and deployment."""

    def __init__(self, group, deployment):
        self.root = group.host.root
        self.directory = group.kept + "/" + deployment
        self.index = self.directory + "/index.json"
        self.entries = read_json(self.index) or []

    def keep(self, path):
        """Copies the file that `path` leads to, and remembers the link that `path` may be. Raises OSError."""
        if not self.entries:
            for directory in (os.path.dirname(self.directory), self.directory):
                make_private(directory)
        entry = {"path": as_json_path(path), "root": as_json_path(self.root)}
        if os.path.islink(path):
            entry["link"] = as_json_path(os.readlink(path))
        directory, name = open_place(path)
        try:
            info = stat_at(directory, name)
            if info and not stat.S_ISLNK(info.st_mode):  # where another user's link leads is none of our business
                self._copy(directory, name, entry)
        finally:
            os.close(directory)
        self.entries.append(entry)
        write_json(self.index, self.entries)

    def _copy(self, directory, name, entry):
        reading, info = open_source(name, directory)
        try:
            writing = os.open("%s/%d" % (self.directory, len(self.entries)), FRESH, 0o600)
            try:
                copy_content(reading, writing, info.st_size)
            finally:
                os.close(writing)
            entry.update(real=as_json_path(real_path(directory) + "/" + name), mode=stat.S_IMODE(info.st_mode))
            entry.update(uid=info.st_uid, gid=info.st_gid, mtime=info.st_mtime, attributes=attributes_of(reading))
        finally:
            os.close(reading)

    def paths(self):
        """What `restore` brings back."""
        return [path for path in (self._here(entry, "path") for entry in self.entries) if path]

    def _here(self, entry, key):
        """A path of an entry where it lies now; None if it would be outside of a root that was copied or moved."""
        path, root = from_json_path(entry[key]), from_json_path(entry.get("root") or "")
        if "root" in entry and root == self.root:
            return path
        if "root" in entry and path.startswith(root + "/"):
            path = self.root + path[len(root) :]
        return path if path.startswith(self.root + "/") and os.path.normpath(path) == path else None

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
        path = self._here(entry, "path")
        if path is None:
            raise OSError(0, "it is not below %s" % as_text(self.root))
        if "real" in entry:
            real = self._here(entry, "real")
            if real is None:
                raise OSError(0, "what the link led to is not below %s" % as_text(self.root))
            self._restore_file(copy, entry, real)
        if "link" in entry:
            directory, name = open_parent_of(path)
            try:
                if stat_at(directory, name) is None:
                    os.symlink(from_json_path(entry["link"]), name, dir_fd=directory)
            finally:
                os.close(directory)

    def _restore_file(self, copy, entry, real):
        directory, name = open_parent_of(real)
        reading = writing = -1
        try:
            reading, info = open_source(copy)
            if stat_at(directory, name):
                os.unlink(name, dir_fd=directory)
            writing = os.open(name, FRESH, 0o600, dir_fd=directory)
            copy_content(reading, writing, info.st_size)
            if os.geteuid() == 0:
                os.fchown(writing, entry["uid"], entry["gid"])
            os.fchmod(writing, entry["mode"])
            for attribute, value in entry["attributes"].items():
                os.setxattr(writing, attribute, bytes.fromhex(value))
            os.utime(writing, (entry["mtime"], entry["mtime"]))
        finally:
            for fd in (directory, reading, writing):
                if fd >= 0:
                    os.close(fd)


def open_parent_of(path):
    """(descriptor of the directory that a path lies in, name in it); directories that are missing are made."""
    parent, name = os.path.split(path)
    missing = []
    while True:
        try:
            directory = open_directory(parent)
            break
        except FileNotFoundError:
            parent, last = os.path.split(parent)
            missing.append(last)
    while missing:
        try:
            os.mkdir(missing[-1], 0o755, dir_fd=directory)
            above, directory = directory, open_directory(parent + "/" + missing[-1])
            parent += "/" + missing.pop()
            os.close(above)
        except BaseException:
            os.close(directory)
            raise
    return directory, name
