"""Applies an install plan, with the clean-up list written along."""

import os
import stat

from towline.host.runner.cleanup import CONTEXT
from towline.host.runner.copying import copy_file
from towline.host.runner.errors import StepFailed, why
from towline.host.runner.files import write_all
from towline.host.runner.permissions import full_acl
from towline.host.runner.text import as_text, join
from towline.host.runner.tools import find_tool, run_tool


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
