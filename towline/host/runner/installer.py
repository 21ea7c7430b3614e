"""Applies an install plan, with the clean-up list written along."""

import os
import stat

from towline.host.runner.cleanup import CONTEXT, read_cleanup
from towline.host.runner.copying import FRESH, copy_content, open_existing, open_source, set_attributes
from towline.host.runner.errors import StepFailed, why
from towline.host.runner.files import write_all
from towline.host.runner.install_record import InstallRecord, record_line
from towline.host.runner.owned_path import NOT_OPENED, Parents, foreign_link, is_ours, open_place, real_path, stat_at
from towline.host.runner.permissions import full_acl
from towline.host.runner.text import as_text, join
from towline.host.runner.tools import find_tool, run_tool


class Installer:
    """Applies an InstallPlan. The clean-up list is written along, so that at any moment it names what was made.

    The destination may belong to the application's user, who may change it meanwhile: everything is done by open
    directories and files, and what was made is known again by its number.
    """

    def __init__(self, plan, group, keeper, times):
        self.plan, self.group, self.keeper, self.times = plan, group, keeper, times
        self.list = self.record = -1  # descriptors of the clean-up list and of our own record
        self.parents = Parents()
        self.made = {}  # path -> (device, inode)

    def run(self):
        """Raises StepFailed at the first step that fails; the list then names everything up to it."""
        self.record = InstallRecord(self.group).begin(read_cleanup(self.group.cleanup))
        self.list = os.open(self.group.cleanup, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            for step in self.plan.steps:
                try:
                    getattr(self, "_" + step[0])(*step[1:])
                except OSError as error:
                    place = as_text(step[2] if step[0] == "copy" else step[1])
                    raise StepFailed("Install: %s of %s failed: %s" % (step[0], place, why(error))) from None
        finally:
            self.parents.close()
            for fd in (self.record, self.list):
                os.fsync(fd)
                os.close(fd)

    def _record(self, line):
        """Adds a line to record and list."""
        for fd, added in self._lines(line):
            write_all(fd, added)

    def _forget(self, line):
        """Takes the last line out of both: what was there already is not ours to remove later."""
        for fd, added in self._lines(line):
            os.ftruncate(fd, os.fstat(fd).st_size - len(added))

    def _lines(self, line):
        return (self.record, record_line(line)), (self.list, os.fsencode(line) + b"\n")

    def _mkdir(self, path):
        directory, name = self.parents.of(path)
        self._record(path)
        try:
            os.mkdir(name, 0o777, dir_fd=directory)
        except OSError:
            self._forget(path)
            raise
        info = stat_at(directory, name)
        if info and stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
            self.made[path] = info.st_dev, info.st_ino

    # -- files and links

    def _copy(self, source, destination):
        replaces, target = destination in self.plan.replaced, destination
        if destination in self.plan.inside:
            inside = os.readlink(source) if os.path.islink(source) else source
            target = join(destination, os.path.basename(inside))
            replaces = os.path.lexists(target)
        if replaces:
            self.keeper.keep(target)
        self._record(destination)
        try:
            if os.path.islink(source):
                self._link(source, target, replaces)
            else:
                self._file(source, destination, target, replaces)
        except FileExistsError:
            self._forget(destination)
            raise StepFailed(
                "Install: %s was not there when the files were checked, and is there now; it is left alone"
                % as_text(target)
            ) from None

    def _link(self, source, target, replaces):
        directory, name = self.parents.of(target)
        if replaces:
            os.unlink(name, dir_fd=directory)
        os.symlink(os.readlink(source), name, dir_fd=directory)

    def _file(self, source, destination, target, replaces):
        reading, info = open_source(source)
        writing = -1
        try:
            writing = self._open_target(target, replaces)
            copy_content(reading, writing, info.st_size)
            set_attributes(writing, *self._attributes(source, destination, info))
            if target == destination and destination in self.plan.permitted:
                info = os.fstat(writing)
                self.made[destination] = info.st_dev, info.st_ino
        finally:
            for fd in (reading, writing):
                if fd >= 0:
                    os.close(fd)

    def _open_target(self, target, replaces):
        """A new or emptied file to write to. Raises FileExistsError where something else is in the way."""
        directory, name = self.parents.of(target)
        if not replaces:
            try:
                return os.open(name, FRESH, 0o600, dir_fd=directory)
            except FileExistsError:
                pass
        there, opened = stat_at(directory, name), -1
        if there and stat.S_ISLNK(there.st_mode) and is_ours(there.st_uid):
            # through a link of ours is written, as the agent does it; what another user linked is in the way
            opened, name = open_place(target)
            directory = opened
        try:
            if replaces and stat_at(directory, name):
                return open_existing(directory, name)
            return os.open(name, FRESH, 0o600, dir_fd=directory)
        finally:
            if opened >= 0:
                os.close(opened)

    def _attributes(self, source, destination, info):
        """(owner, mode, times): the archive's; where `permissions` set owner or mode, at once what they say.

        Between a copy and its chown another owner could open the file, and write to it when it is root's.
        """
        uid, gid, mode = self.plan.sources.owner_and_mode(source, info)
        user, group = self.plan.owners.get(destination, (-1, -1))
        owner = uid if user == -1 else user, gid if group == -1 else group
        mode = self.plan.modes.get(destination, mode) & 0o1777 if destination in self.plan.modes else mode
        changed = self.times.of(destination)
        return owner, mode, (info.st_atime_ns, info.st_mtime_ns if changed is None else changed)

    # -- permissions

    def _open_made(self, path):
        """A descriptor of what was made at a path, through links of ours. Raises StepFailed if it is something else."""
        directory, name = open_place(path)
        try:
            fd = os.open(name, NOT_OPENED, dir_fd=directory)
        finally:
            os.close(directory)
        info = os.fstat(fd)
        if stat.S_ISLNK(info.st_mode) or self.made.get(path, (info.st_dev, info.st_ino)) != (info.st_dev, info.st_ino):
            os.close(fd)
            reason = "it was replaced meanwhile"
            if stat.S_ISLNK(info.st_mode):
                reason = foreign_link(path, info.st_uid)
            raise StepFailed("Install: the permissions of %s are not set: %s" % (as_text(path), reason))
        return fd

    def _mode(self, path, mode):
        fd = self._open_made(path)
        try:
            os.chmod(itself(fd), mode)
        finally:
            os.close(fd)

    def _acl(self, path, entries):
        fd = self._open_made(path)
        try:
            text = ",".join(full_acl(entries, stat.S_IMODE(os.fstat(fd).st_mode)))
            failed = run_tool([find_tool("setfacl"), "--set", text, itself(fd)])
        finally:
            os.close(fd)
        if failed:
            raise StepFailed("Install: the ACL of %s failed: setfacl --set %s: %s" % (as_text(path), text, failed))

    def _context(self, path, context):
        fd = self._open_made(path)
        try:
            path = real_path(fd)
        finally:
            os.close(fd)
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
        fd = self._open_made(path)
        try:
            os.chown(itself(fd), user, group)
        finally:
            os.close(fd)


def itself(descriptor):
    """A path that leads to what is open, whatever its name has come to mean; also for a program that we start."""
    return "/proc/%d/fd/%d" % (os.getpid(), descriptor)
