"""Plans an Install: every step in order, checked before anything is touched."""

import os

from towline.host.runner.cleanup import need_writable
from towline.host.runner.errors import StepFailed
from towline.host.runner.permissions import check_acl, matches, owner_ids
from towline.host.runner.text import as_text, join
from towline.host.runner.tools import need_tool


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
