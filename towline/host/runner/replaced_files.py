"""Keeps the files that OVERWRITE replaces, so that a rollback can bring them back."""

import os
import stat

from towline.host.runner.copying import attributes_of, copy_file
from towline.host.runner.errors import why
from towline.host.runner.files import make_private, read_json, remove_tree, write_json
from towline.host.runner.text import as_json_path, as_text, from_json_path


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
