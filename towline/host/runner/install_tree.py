"""Where the files of a revision go, by the agent's rules for an AppSpec's `files`: the one implementation, for hosts
and for the checks before a deployment."""

import os

from towline.host.runner.errors import StepFailed
from towline.host.runner.glob import glob_matches
from towline.host.runner.text import absolute, as_text, join, join_below

MISSING, LOOP, OUTSIDE, ENDLESS = "missing", "loop", "outside", "endless"

TWO_FILES, FILE_AND_DIRECTORY = "two files", "file and directory"

INSTALLED_AT_MOST = 1000000  # `files` and links to directories can repeat what is in an archive


class Above:
    """A directory on the way down into an archive: its place, where that really is, and what it was met in."""

    __slots__ = ("above", "place", "real")

    def __init__(self, place, real, above):
        self.place, self.real, self.above = place, real, above

    def leads_back(self):
        """Whether the way here has led through this very directory."""
        way = self.above
        while way and way.real != self.real:
            way = way.above
        return bool(way)


def fail_install(kind, path, message):
    """Refuses an Install because of a path; `kind` is one of the constants above."""
    raise StepFailed("Install: " + message)


class InstallTree:
    """The directories and files that an Install makes, and those that a permission is for.

    Looks at the list of the bundle's members or at the unpacked archive, and at nothing else. `InstallPlan` adds what
    is on a host's disk. An Install ends with the first refusal; the checks before a deployment collect all of them.
    """

    def __init__(self, sources, refuse=fail_install):
        self.sources, self.refuse = sources, refuse
        self.copies = {}  # destination -> source
        self.directories = {}  # in the order in which they are made
        self.steps = []  # ("mkdir", path) and ("copy", source, destination), in order
        self._looked_at = 0
        self._sorted = None

    def place(self, key, path):
        """The place of a `destination` or an `object`."""
        return absolute(path)

    def needs_directory(self, path):
        """Whether a directory has to be made at a path."""
        return path != "/"

    def may_copy(self, source, destination):
        """Whether a file is installed there at all."""
        return True

    def check_new(self, path):
        """Called for each path before it is added."""

    def add_entry(self, entry):
        """Adds what one entry of `files` installs."""
        source = self.sources.path(entry["source"])
        destination = self.place("destination", entry["destination"])
        if not self.sources.exists(source):
            why = self.sources.why_missing()
            self.refuse(MISSING, source, "the source %s %s" % (as_text(entry["source"]), why))
            return
        is_directory = self.sources.is_directory(source)
        if not is_directory:
            destination = join(destination, os.path.basename(source.rstrip("/")))
        self._add_above(destination)
        self._add_tree(source, destination, is_directory)

    def _add_above(self, destination):
        missing, parent = [], os.path.dirname(destination)
        while parent not in self.directories and self.needs_directory(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        for path in reversed(missing):
            self._add_directory(path)

    def _add_tree(self, source, destination, is_directory):
        """A file, or everything below a directory, which decides how deep that goes: no recursion.

        A directory's subdirectories come where they stand among its names, each with all that is in it.
        """
        sources = self.sources
        todo = [(source, destination, Above(source, sources.real(source), None) if is_directory else None)]
        while todo:
            source, destination, above = todo.pop()
            self._looked_at += 1
            if self._looked_at > INSTALLED_AT_MOST:
                self.refuse(ENDLESS, source, "there are more than %d files to install" % INSTALLED_AT_MOST)
                return
            if above is None:
                self._add_copy(source, destination)
            elif self._may_enter(source, above):
                if destination not in self.directories and self.needs_directory(destination):
                    self._add_directory(destination)
                todo += reversed([*self._inside(source, destination, above)])

    def _inside(self, source, destination, above):
        """(source, destination, way to it or None of a file) of what is in a directory."""
        for name, is_directory in self.sources.entries(above.real):
            path, way = join_below(source, name), None
            if is_directory:
                place = join_below(above.real, name)
                way = Above(place, self.sources.real_below(path, place), above)
            yield path, join(destination, name), way

    def _may_enter(self, source, way):
        """A linked directory is copied as a real one: it must not lead out of the archive, nor back."""
        if way.real == way.place:
            return True
        outside = self.sources.outside(source)
        if outside is not None:
            message = "%s is a link to the directory %s, outside of the archive; put the files into the bundle"
            self.refuse(OUTSIDE, way.place, message % (as_text(source), as_text(outside)))
        elif way.leads_back():
            self.refuse(LOOP, way.place, "%s is a link to a directory that it lies in" % as_text(source))
        else:
            return True
        return False

    def _add_directory(self, path):
        if path in self.copies:
            source = as_text(self.copies[path])
            message = "%s would be both the file %s and a directory" % (as_text(path), source)
            self.refuse(FILE_AND_DIRECTORY, path, message)
        elif path not in self.directories:
            self.check_new(path)
            self.directories[path] = None
            self.steps.append(("mkdir", path))

    def _add_copy(self, source, destination):
        if not self.may_copy(source, destination):
            return
        if destination in self.copies:
            message = "two files of the revision, %s and %s, have the same destination %s"
            first = as_text(self.copies[destination])
            self.refuse(TWO_FILES, destination, message % (first, as_text(source), as_text(destination)))
        elif destination in self.directories:
            message = "%s would be both a directory and the file %s" % (as_text(destination), as_text(source))
            self.refuse(FILE_AND_DIRECTORY, destination, message)
        else:
            self.check_new(destination)
            self.copies[destination] = source
            self.steps.append(("copy", source, destination))

    def selected(self, target, kind, pattern, exceptions):
        """The files or directories in a directory that a permission is for, sorted; `kind` is one of the two."""
        start = len(target.rstrip("/")) + 1
        for path in self.below(target, kind):
            name = path[start:]
            is_selected = pattern == "**" or glob_matches(name, pattern)
            if is_selected and not any(glob_matches(name, one) for one in exceptions):
                yield path

    def below(self, directory, kind):
        """The files or directories that are installed below a directory, at any depth, sorted."""
        import bisect

        if self._sorted is None:
            self._sorted = {"file": sorted(self.copies), "directory": sorted(self.directories)}
        paths, prefix = self._sorted[kind], directory.rstrip("/") + "/"
        return paths[bisect.bisect_left(paths, prefix) : bisect.bisect_left(paths, prefix[:-1] + "0")]  # 0 follows /
