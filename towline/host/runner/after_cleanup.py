"""The disk as it will be once a clean-up list has been worked off."""

import os
import stat

from towline.host.runner.errors import StepFailed
from towline.host.runner.owned_path import MOST_LINKS, foreign_link, is_ours, parts_of
from towline.host.runner.protected_files import attribute_of, is_at_or_below, mount_points
from towline.host.runner.text import as_text

NOTHING, REGULAR_FILE, REAL_DIRECTORY, OTHER = "nothing", "file", "directory", "other"

DANGLING, FOREIGN = "dangling", "foreign"  # a link to nothing, and one that is not followed since it is another user's

MOUNTED = "something is mounted there (findmnt)"


class Found:
    """What will be at a path: its kind, where it really lies, and for a link to nothing where that leads."""

    def __init__(self, kind, real=None, note=""):
        self.kind, self.real, self.note = kind, real, note


class AfterCleanup:
    """Looks at the disk as it will be. Follows links as the kernel will, but none of another user. Touches nothing.

    What can never be removed stays: `left` says why, by path as the list has it; `warnings` say it to people.
    """

    def __init__(self, cleanup_list):
        self.list = cleanup_list
        self.warnings = list(cleanup_list.warnings)
        self.left = {}
        self.hidden = []  # of what is left: the paths at and below a mount that came after it was installed
        self.mounts = mount_points()
        self.gone = set()
        self._directories = {}  # path as written -> Found
        self._parents = {}  # the same, as it is now
        self._changed = set()  # the directories in which something goes
        self._covers = self._mounted_over()
        for path in reversed(cleanup_list.paths):
            if not self._leave_hidden(path):
                self._doom(path)
        self._directories.clear()

    def _mounted_over(self):
        """The directories that the last Install made, and on which something is mounted since."""
        names = {os.path.basename(mount) for mount in self.mounts}
        candidates = [path for path in self.list.paths if os.path.basename(path) in names]
        return [path for path in candidates if self._real(path) in self.mounts]

    def _real(self, path):
        parent, name = os.path.split(path)
        above = self._above(parent)
        return join_real(above.real, name) if above.kind == REAL_DIRECTORY else None

    def _above(self, parent):
        if parent not in self._parents:
            self._parents[parent] = self.look(parent)
        return self._parents[parent]

    def _leave_hidden(self, path):
        """Leaves what a mount hides: what has its name now, on what is mounted, is not what was installed.

        What was installed there later, since it was known as mounted, is cleaned up like anything else.
        """
        over = self.mounted_over(path)
        if not over or (over in self.list.hidden and path not in self.list.hidden):
            return False
        if path == over:
            self._leave(path, MOUNTED)
        else:
            self.left[path] = "something is mounted over it, at " + as_text(over)
        self.hidden.append(path)
        return True

    def mounted_over(self, path):
        """The directory of the last Install, at or above a path, on which something is mounted since; or None."""
        return next((over for over in self._covers if is_at_or_below(path, over)), None)

    def _doom(self, path):
        parent, name = os.path.split(path)
        above = self._above(parent)
        if above.kind == FOREIGN:
            self._leave(path, above.note)
        if above.kind != REAL_DIRECTORY:
            return
        here = join_real(above.real, name)
        try:
            mode = os.lstat(here).st_mode
            if stat.S_ISDIR(mode) and any(join_real(here, inner) not in self.gone for inner in os.listdir(here)):
                return
        except OSError:
            return
        reason = self.why_it_stays(here, mode)
        if reason:
            self._leave(path, reason)
            return
        self.gone.add(here)
        if above.real not in self._changed:
            self._changed.add(above.real)
            need_writable(above.real, ("immutable", "append-only"))

    def why_it_stays(self, real, mode):
        """Why what is there cannot be removed whoever tries it, or None."""
        if real in self.mounts:
            return MOUNTED
        attribute = attribute_of(real) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None
        return "it is %s (lsattr; chattr -%s lets it go)" % (attribute, attribute[0]) if attribute else None

    def why_file_stays(self, found):
        """The same of what was found at a path; None of a link that is not followed, which can be replaced."""
        if found.kind in (FOREIGN, REAL_DIRECTORY):
            return None
        return self.why_it_stays(found.real, os.lstat(found.real).st_mode)

    def is_mounted(self, found):
        return found.real in self.mounts

    def _leave(self, path, reason):
        self.left[path] = reason
        self.warnings.append("%s of the last deployment is left alone: %s" % (as_text(path), reason))

    def look(self, path):
        """What will be at a path."""
        if path == "/":
            return Found(REAL_DIRECTORY, "/")
        parent, name = os.path.split(path)
        found = self._directories.get(parent)
        if found is None:
            found = self._directories[parent] = self._walk("/", parts_of(parent))
        if found.kind != REAL_DIRECTORY:
            return found if found.kind == FOREIGN else Found(NOTHING)
        return self._walk(found.real, [name])

    def _walk(self, here, parts):
        """From a real directory on; `parts` are the names to come, the last one first."""
        links, through = 0, ""
        while parts:
            name = parts.pop()
            if name == "..":
                here = os.path.dirname(here)
                continue
            inner = join_real(here, name)
            try:
                info = None if inner in self.gone else os.lstat(inner)
            except OSError:
                info = None
            if info is None:
                if not through:
                    return Found(NOTHING)
                # a file can be made where a link leads to nothing, if the directory is there
                return Found(DANGLING, None if parts else inner, through)
            if stat.S_ISLNK(info.st_mode):
                if not is_ours(info.st_uid):
                    return Found(FOREIGN, inner, foreign_link(inner, info.st_uid))
                links += 1
                target = os.readlink(inner)
                through = through or target
                if links > MOST_LINKS:
                    return Found(DANGLING, None, through + " (in a circle)")
                parts += parts_of(target)
                here = "/" if target.startswith("/") else here
                continue
            if parts and not stat.S_ISDIR(info.st_mode):
                return Found(DANGLING, None, through) if through else Found(NOTHING)
            here = inner
        mode = os.lstat(here).st_mode
        return Found(REAL_DIRECTORY if stat.S_ISDIR(mode) else REGULAR_FILE if stat.S_ISREG(mode) else OTHER, here)


def join_real(directory, name):
    return directory.rstrip("/") + "/" + name


def need_writable(directory, forbidden=("immutable",)):
    """Raises StepFailed where nothing can be made in a directory that is there, or removed with both attributes."""
    attribute = attribute_of(directory)
    if attribute in forbidden:
        reason = "it is %s (lsattr; chattr -%s lets it change)" % (attribute, attribute[0])
    elif os.access(directory, os.W_OK):
        return
    elif os.statvfs(directory).f_flag & os.ST_RDONLY:
        reason = "its file system is read-only"
    else:
        reason = "user id %d, as whom the runner works, has no permission" % os.geteuid()
    raise StepFailed("Install: %s cannot be written: %s" % (as_text(directory), reason))
