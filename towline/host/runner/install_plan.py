"""Plans an Install: every step in order, checked before anything is touched."""

import os

from towline.host.runner.after_cleanup import (
    DANGLING,
    FOREIGN,
    NOTHING,
    OTHER,
    REAL_DIRECTORY,
    REGULAR_FILE,
    need_writable,
)
from towline.host.runner.errors import StepFailed
from towline.host.runner.install_tree import InstallTree
from towline.host.runner.permissions import check_acl, owner_ids
from towline.host.runner.text import as_text
from towline.host.runner.tools import need_tool

LONGEST_PATH, LONGEST_NAME = 4096, 255  # bytes, as Linux has them


class InstallPlan(InstallTree):
    """What an Install will do, in order, checked against the disk as it will be after clean-up. Touches nothing.

    After those of an InstallTree, `steps` are ("mode", path, mode), ("acl", path, entries), ("context", path, context)
    and ("owner", path, uid, gid).
    """

    def __init__(self, host, plan, sources, behavior, disk, history):
        InstallTree.__init__(self, sources)
        self.host, self.disk, self.history = host, disk, history
        self.behavior = plan.get("file_exists_behavior") or (behavior or "").upper() or "DISALLOW"
        self.replaced = set()
        self.inside = set()  # of the replaced: there is a directory, and the file is put into it
        self.retained = []
        self.modes, self.owners = {}, {}  # path -> what its permissions set
        self.warnings = list(disk.warnings)
        self.permitted = set()  # paths whose permissions are set
        self._writable = set()
        for entry in plan.get("files") or ():
            self.add_entry(entry)
        for permission in plan.get("permissions") or ():
            self._permission(permission)

    def place(self, key, path):
        if path.startswith("~"):
            raise StepFailed(
                "Install: %s %s: no home directory is put in place of ~; write the path" % (key, as_text(path))
            )
        return self.host.at(path)

    def needs_directory(self, path):
        """Whether a directory has to be made at a path; raises StepFailed where none can be."""
        found = self.disk.look(path)
        if found.kind == REAL_DIRECTORY:
            return False
        if found.kind == NOTHING:
            return True
        reason = "but it is a file"
        if found.kind == DANGLING:
            reason = "but it is a link to %s, which is not there (is something not mounted?)" % as_text(found.note)
        elif found.kind == FOREIGN:
            reason = "but " + found.note
        raise StepFailed("Install: %s is needed as a directory, %s" % (as_text(path), reason))

    def check_new(self, path):
        self._check_name(path)
        self._check_writable(path)

    def _check_name(self, path):
        """The clean-up list has a line for each path, and the kernel has its limits: met here, before any change."""
        encoded = os.fsencode(path)
        if b"\n" in encoded:
            reason = "its name has a line end, which the clean-up list cannot hold"
        elif len(encoded) >= LONGEST_PATH or len(encoded) - encoded.rfind(b"/") - 1 > LONGEST_NAME:
            reason = "the path is too long (%d bytes)" % len(encoded)
        else:
            return
        raise StepFailed("Install: %s cannot be installed: %s" % (as_text(path)[:300], reason))

    def _check_writable(self, path):
        """The directory of `path`, if it is there and stays."""
        parent = os.path.dirname(path)
        if parent in self._writable or parent in self.directories:
            return
        self._writable.add(parent)
        found = self.disk.look(parent)
        if found.kind == REAL_DIRECTORY:
            need_writable(found.real)
        elif found.kind == FOREIGN:
            raise StepFailed("Install: %s" % found.note)

    def may_copy(self, source, destination):
        """Whether a file is installed there: where nothing is, or what is there may be replaced."""
        found = self.disk.look(destination)
        if found.kind == DANGLING and not found.real:
            raise StepFailed(
                "Install: %s is a link to %s, where no file can be made" % (as_text(destination), as_text(found.note))
            )
        return found.kind in (NOTHING, DANGLING) or self._may_replace(source, destination, found)

    def _may_replace(self, source, destination, found):
        """What the file-exists behaviour says about a file that was there; noticed only when there is one."""
        if self.behavior == "RETAIN":
            self.retained.append(destination)
            return False
        if self.behavior not in ("OVERWRITE", "DISALLOW"):
            raise StepFailed(
                "Install: %s exists, and the file-exists behavior %r is none of DISALLOW, OVERWRITE, RETAIN"
                % (as_text(destination), self.behavior)
            )
        stays = self.disk.why_file_stays(found) or (self.behavior == "DISALLOW" and self.disk.left.get(destination))
        if stays and (self.behavior == "DISALLOW" or not self.disk.is_mounted(found)):
            if found.kind == REGULAR_FILE and self.sources.same(source, found.real):
                self.retained.append(destination)  # what cannot be changed needs no change
                return False
            raise StepFailed("Install: %s cannot be replaced: %s" % (as_text(destination), stays))
        if self.behavior == "DISALLOW":
            raise StepFailed(
                "The deployment failed because a specified file already exists at this location: %s. %s, "
                "or set file_exists_behavior to OVERWRITE or RETAIN" % (as_text(destination), self._whose(destination))
            )
        if found.kind == OTHER:
            raise StepFailed("Install: %s is neither a file nor a directory; remove it" % as_text(destination))
        if found.kind == REAL_DIRECTORY:
            self.warnings.append("%s is a directory: the file is put inside it" % as_text(destination))
            self.inside.add(destination)
        self.replaced.add(destination)
        return True

    def _whose(self, destination):
        """Of a file that is in the way: who made it, as far as is known, and what to do."""
        if self.history.made(destination):
            return (
                "This group installed it, but the list of what it installed (%s) is gone or was changed; "
                "remove the file" % as_text(self.history.list)
            )
        if self.history.is_lost:
            return (
                "Whether this group installed it is not known: the list of what it installed (%s) is gone; "
                "remove the file" % as_text(self.history.list)
            )
        return "This group has no record of having installed it; remove it"

    def _permission(self, permission):
        target = self.place("object", permission["object"])
        kinds = permission.get("type", ("file", "directory"))
        if target in self.copies:
            if "file" in kinds:
                self._check_file_object(target, permission)
                self._set(target, permission)
        elif target in self.directories or self.disk.look(target).kind == REAL_DIRECTORY:
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
        for kind in ("file", "directory"):
            for path in self.selected(target, kind, pattern, exceptions) if kind in kinds else ():
                if kind == "file":
                    self._check_default_acl(path, permission)
                yield path

    def _set(self, path, permission):
        """The agent's order: mode, ACL, context, owner last (which clears set-id bits of files)."""
        if path in self.permitted:
            raise StepFailed(
                "Install: the permissions of %s are set by more than one entry; use except" % as_text(path)
            )
        self.permitted.add(path)
        if permission.get("mode") is not None:
            self.modes[path] = int(permission["mode"], 8)
            self.steps.append(("mode", path, self.modes[path]))
        if permission.get("acls") is not None:
            check_acl(permission["acls"])
            self.steps.append(("acl", path, permission["acls"]))
        if permission.get("context") is not None:
            need_tool("semanage", "the SELinux context")
            need_tool("restorecon", "the SELinux context")
            self.steps.append(("context", path, permission["context"]))
        owner, group = permission.get("owner"), permission.get("group")
        if owner is not None or group is not None:
            self.owners[path] = owner_ids(path, owner, group)
            self.steps.append(("owner", path, *self.owners[path]))
