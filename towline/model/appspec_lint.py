"""What an AppSpec says about a bundle that does not have it: sources, scripts, patterns, and what would clash.

An error is what the agent, and towline's runner, would refuse on every host when it installs. A warning is what may
work (a script may make a missing source) or does work in another way than people think.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from towline.model.install_preview import Preview, absolute, matches, preview, selected
from towline.model.listing import Listing, relative
from towline.model.plan import CompiledPlan, FileEntry, Permission, Script
from towline.model.problem import Problem, Severity, did_you_mean
from towline.model.status import IN_PLACE_EVENTS


def lint_bundle(
    plan: CompiledPlan, listing: Listing, lines: Mapping[str, int] | None = None, *, for_deployment: bool = False
) -> list[Problem]:
    """The problems of a plan with its bundle, in the order of their lines.

    `lines` are those of `parse_appspec`. `for_deployment` makes an error of a missing script of an event that a
    deployment goes through: it must end before the first instance is touched.
    """
    lint = _Lint(plan, listing, lines or {})
    lint.name_of_appspec()
    lint.links_out()
    lint.setid_files()
    for index, entry in enumerate(plan.files):
        lint.source(f"files[{index}]", entry)
    for event, scripts in plan.hooks.items():
        for index, script in enumerate(scripts):
            lint.script(f"hooks.{event}[{index}].location", script, event in IN_PLACE_EVENTS, for_deployment)
    lint.clashes()
    lint.permissions()
    return sorted(lint.problems, key=lambda problem: problem.line)


class _Lint:
    def __init__(self, plan: CompiledPlan, listing: Listing, lines: Mapping[str, int]) -> None:
        self.problems: list[Problem] = []
        self._plan = plan
        self._listing = listing
        self._lines = lines
        self._preview: Preview = preview(plan, listing)

    def name_of_appspec(self) -> None:
        if self._plan.appspec != "appspec.yml":
            rule = (
                f"the file is called {self._plan.appspec}; AWS's agent 1.8 finds it when it installs, but not for hooks"
            )
            self._add("", rule, "Call it appspec.yml")

    def links_out(self) -> None:
        """One line for all of them: a virtualenv has several."""
        links = [f"{member.path} -> {member.target}" for member in self._listing.links_out]
        if links:
            rule = f"links lead out of the bundle, and are only made as links: {_some(links)}"
            hint = "Where it leads to a directory on a host, Install is refused there: make such a link in a script"
            self._add("", rule, hint)

    def setid_files(self) -> None:
        names = [member.path for member in self._listing.members if "setid" in member.marks]
        if names:
            rule = f"setuid and setgid bits are not taken over: {_some(names)}"
            self._add("", rule, "Set it in the permissions section, with a mode of four digits")

    def source(self, key: str, entry: FileEntry) -> None:
        member = self._listing.find(entry.source)
        if member is None and self._listing.leads_out(entry.source):
            return  # links_out has told
        if member is None:
            self._missing_source(f"{key}.source", entry.source)
            return
        if member.type == "file":
            name = posixpath.basename(relative(entry.source))
            if entry.source.endswith("/"):
                self._add(f"{key}.source", f"{entry.source!r} is a file", "Take the '/' away", Severity.ERROR)
            elif posixpath.basename(entry.destination.rstrip("/")) == name:
                where = posixpath.join(entry.destination, name)
                rule = f"a destination is always a directory: the file becomes {where}"
                self._add(
                    f"{key}.destination", rule, f"Write {posixpath.dirname(entry.destination.rstrip('/')) or '/'}"
                )

    def script(self, key: str, script: Script, will_run: bool, for_deployment: bool) -> None:
        member = self._listing.find(script.location)
        severity = Severity.ERROR if will_run and for_deployment else Severity.WARNING
        fate = "; a deployment is refused" if will_run and not for_deployment else ""
        if member is None and self._listing.leads_out(script.location):
            rule = f"{script.location} leads out of the bundle: what runs is what lies there on each host"
            self._add(key, rule, "Put the script into the bundle")
        elif member is None:
            rule = f"there is no {script.location} in the bundle{fate}"
            self._add(key, rule, self._near(script.location), severity)
        elif member.type == "directory":
            self._add(key, f"{script.location} is a directory{fate}", "Name a script", severity)
        if member and "crlf" in member.marks:
            rule = f"{script.location} has Windows line ends: its interpreter will not be found"
            self._add(key, rule, f"Mend it with: sed -i 's/\\r$//' {member.path}")
        if member and "bom" in member.marks:
            rule = f"{script.location} starts with a byte order mark: its first line is not seen"
            self._add(key, rule, "Save it as UTF-8 without a byte order mark")

    def clashes(self) -> None:
        for clash in self._preview.clashes[:10]:
            what = "a file and a directory" if clash.is_directory else "two files"
            self._add(
                f"files[{clash.entry}]", f"{what} would be installed at {clash.path}", "Take one away", Severity.ERROR
            )

    def permissions(self) -> None:
        owners: dict[str, int] = {}
        for index, permission in enumerate(self._plan.permissions):
            key = f"permissions[{index}]"
            paths = list(selected(permission, self._preview))
            if self._object(key, permission, paths):
                self._except(key, permission)
            for path in paths:
                first = owners.setdefault(path, index)
                if first != index:
                    rule = f"{path} is also selected by permissions[{first}]"
                    self._add(key, rule, "Exclude it from one of them with except", Severity.ERROR)
                    break
            self._default_acls(key, permission, paths)

    def _object(self, key: str, permission: Permission, paths: list[str]) -> bool:
        """Tells of an object or pattern that selects nothing; True where it makes sense to look at `except`."""
        target = absolute(permission.object)
        kind = self._preview.kind(target)
        if kind == "file" and "file" in permission.type:
            if permission.pattern != "**":
                self._add(f"{key}.pattern", f"{target} is a file: no pattern may be given", "", Severity.ERROR)
            if permission.except_:
                self._add(f"{key}.except", f"{target} is a file: no except may be given", "", Severity.ERROR)
            return False
        if not permission.type or paths or permission.except_:
            return bool(permission.type)
        if kind == "file":
            self._add(f"{key}.type", f"{target} is a file, and the permission is for directories only", "Add file")
            return False
        below = target.rstrip("/") + "/"
        if not any(path.startswith(below) for path in (*self._preview.files, *self._preview.directories)):
            hint = (
                did_you_mean(target, self._preview.directories) or "Permissions are only for what this bundle installs"
            )
            self._add(f"{key}.object", f"nothing is installed at or below {target}", hint)
        elif "/" not in permission.pattern:  # that one was told by the parser
            hint = "A pattern other than ** is for what lies directly in the object"
            self._add(f"{key}.pattern", f"{permission.pattern!r} matches nothing that is installed", hint)
        return False

    def _except(self, key: str, permission: Permission) -> None:
        without = permission.model_copy(update={"except_": ()})
        below = absolute(permission.object).rstrip("/") + "/"
        names = [path.removeprefix(below) for path in selected(without, self._preview)]
        for index, item in enumerate(permission.except_):
            if "/" in item or not item or any(matches(name, item) for name in names):
                continue
            deeper = any(matches(posixpath.basename(name), item) for name in names)
            hint = "It is only for what lies directly in the object, not in directories below" if deeper else ""
            self._add(f"{key}.except[{index}]", f"{item!r} matches nothing", hint or did_you_mean(item, names))

    def _default_acls(self, key: str, permission: Permission, paths: list[str]) -> None:
        if any(entry.default for entry in permission.acls or ()):
            files = [path for path in paths if self._preview.kind(path) == "file"]
            if files:
                rule = f"default ACL entries are for directories, and {files[0]} is a file"
                self._add(f"{key}.acls", rule, "Add type: [directory]", Severity.ERROR)

    def _missing_source(self, key: str, source: str) -> None:
        if any(letter in source for letter in "*?["):
            self._add(key, f"there is no {source!r} in the bundle: wildcards are not expanded", "Name the directory")
        else:
            self._add(key, f"there is no {source} in the bundle", self._near(source))

    def _near(self, path: str) -> str:
        """The next step for a path that is not there."""
        words = path.split()
        if len(words) > 1 and self._listing.find(words[0]):
            return "Scripts get no arguments; the whole value is a path"
        name, folder = posixpath.basename(relative(path)), posixpath.dirname(relative(path))
        same = [m.path for m in self._listing.members if posixpath.basename(m.path).casefold() == name.casefold()]
        beside = [member.path for member in self._listing.children.get(folder, ())]
        if len(same) == 1:
            return f"Did you mean {same[0]}?"
        return did_you_mean(relative(path), beside[:1000]) or "Paths are taken from the top of the bundle"

    def _add(self, key: str, rule: str, hint: str = "", severity: Severity = Severity.WARNING) -> None:
        line = 0
        at = key
        while at and not line:  # the nearest key above that has a line
            line = self._lines.get(at, 0)
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        self.problems.append(Problem(line=line, key=key, rule=rule, hint=hint, severity=severity))


def _some(every: list[str]) -> str:
    """A name, and how many more: `bin/python -> /usr/bin/python3 (and 2 more)`."""
    return every[0] + (f" (and {len(every) - 1} more)" if len(every) > 1 else "")
