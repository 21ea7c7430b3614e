"""Checks an AppSpec against its bundle: missing sources and scripts, links that lead out, and conflicting files.

An error is what towline's runner would refuse on every host, found before any host is touched. A warning is what may
not work, or not as people expect. `validate` and a deployment report the same. Permissions are checked in
`permissions_lint.py`.
"""

from __future__ import annotations

import posixpath
import re

from towline.host.runner.install_tree import (
    ENDLESS,
    FILE_AND_DIRECTORY,
    INSTALLED_AT_MOST,
    LOOP,
    OUTSIDE,
    TWO_FILES,
)
from towline.model.appspec.bundle_install import BundleInstall
from towline.model.appspec.parser import Checked
from towline.model.appspec.permissions_lint import lint_permissions
from towline.model.appspec.plan import CompiledPlan, FileEntry, Script
from towline.model.bundle.listing import Listing, Member, relative
from towline.model.deployment.lifecycle import events_for
from towline.model.problem import Problem, Severity, did_you_mean
from towline.model.visible import quoted
from towline.model.yaml.quoting import yaml_text

_MOST_OF_A_KIND = 100
# A destination that ends like this was meant as a file name.
_ENDING = re.compile(
    r"\.(?:war|jar|ear|conf|cfg|ini|env|json|xml|ya?ml|toml|properties|service|timer|socket|sh|py|php|js|html|css|txt|zip|"
    r"tar|gz|pem|crt|key|sql|log)"
)
_DOT_FILES = frozenset((".env", ".htaccess", ".npmrc", ".bashrc", ".profile", ".gitignore"))


def lint_bundle(checked: Checked, listing: Listing) -> list[Problem]:
    """The problems of an AppSpec with its bundle, as far as it could be parsed, in the order of lines."""
    if checked.readable is None:
        return []
    lint = _Lint(checked, checked.readable, listing)
    lint.name_of_appspec()
    lint.links()
    lint.setid_files()
    for index, entry in enumerate(checked.readable.files[:_MOST_OF_A_KIND]):
        lint.source(f"files[{index}]", entry)
    for event, scripts in checked.readable.hooks.items():
        for index, script in enumerate(scripts[:_MOST_OF_A_KIND]):
            lint.script(f"hooks.{event}[{index}].location", script, will_run=event in events_for())
    lint.clashes()
    is_whole = "files" not in checked.unread
    for finding in lint_permissions(checked.readable.permissions, lint.installed, is_whole=is_whole):
        rule, hint = (lint.with_keys_of_file(text) for text in (finding.rule, finding.hint))
        lint.add(finding.key, rule, hint, finding.severity)
    return sorted(lint.problems, key=lambda problem: problem.line)


class _Lint:
    def __init__(self, checked: Checked, plan: CompiledPlan, listing: Listing) -> None:
        self.problems: list[Problem] = []
        self.installed = BundleInstall(plan, listing)
        self._checked = checked
        self._plan = plan
        self._listing = listing

    def name_of_appspec(self) -> None:
        if self._plan.appspec != "appspec.yml":
            rule = (
                f"the file is called {self._plan.appspec}; AWS's agent 1.8 finds it when it installs, but not for hooks"
            )
            self.add("", rule, "Call it appspec.yml")

    def links(self) -> None:
        """Reports links in one problem per kind: a virtualenv has several."""
        loops, outside = self.installed.refused(LOOP), self.installed.refused(OUTSIDE)
        refused = {link.path for link in (*loops, *outside)}
        if links := [link for link in self._listing.links_out if link.path not in refused]:
            rule = f"links lead out of the bundle, and are only made as links: {_some(links)}"
            hint = "Where it leads to a directory on a host, Install is refused there: make such a link in a script"
            self.add("", rule, hint)
        if links := list(self._listing.links_in_circles):
            rule = f"links lead in a circle, and are only made as links: {_some(links)}"
            self.add("", rule, "Leave them out of the bundle")
        for loop in loops[:_MOST_OF_A_KIND]:
            rule = f"{self._link(loop.path)} is a link to a directory that it lies in: its copy would never end"
            self.add(f"files[{loop.entry}].source", rule, "Leave the link out of the bundle", Severity.ERROR)
        for link in outside[:_MOST_OF_A_KIND]:
            rule = f"{self._link(link.path)} is a link to a directory outside of the bundle: Install is refused"
            hint = "Put the files into the bundle, or make the link in a script"
            self.add(f"files[{link.entry}].source", rule, hint, Severity.ERROR)

    def setid_files(self) -> None:
        names = [member.path for member in self._listing.members if "setid" in member.marks]
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            rule = f"setuid and setgid bits are not taken over: {names[0]}{more}"
            self.add("", rule, "Set it in the permissions section, with a mode of four digits")

    def source(self, key: str, entry: FileEntry) -> None:
        member = self._listing.find(entry.source)
        if member is None and self._listing.find_link(entry.source):
            return  # a link that leads out of the bundle is installed as a link; `links` reports it
        if member is None:
            self._missing_source(f"{key}.source", entry.source)
        elif member.type == "file":
            self._file_source(key, entry)

    def _missing_source(self, key: str, source: str) -> None:
        made = bool(self._plan.hooks.get("BeforeInstall"))
        severity = Severity.WARNING if made else Severity.ERROR
        fails = ": Install fails, unless a BeforeInstall script makes it" if made else ""
        if self._listing.leads_out(source):
            rule = f"{source} leads out of the bundle through a link{fails}"
            self.add(key, rule, "Put the files into the bundle", severity)
        elif any(letter in source for letter in "*?["):
            rule = f"there is no {quoted(source)} in the bundle, and wildcards are not expanded{fails}"
            self.add(key, rule, "Name the directory", severity)
        else:
            self.add(key, f"there is no {source or '(empty name)'} in the bundle{fails}", self._near(source), severity)

    def _file_source(self, key: str, entry: FileEntry) -> None:
        """Warns of a destination that looks like a file name: a file is installed into it under its own name."""
        name = posixpath.basename(relative(entry.source))
        if entry.source.endswith("/"):
            hint = f"Take the '/' away: 'source: {yaml_text(entry.source.rstrip('/'))}'"
            self.add(f"{key}.source", f"{quoted(entry.source)} is a file", hint, Severity.ERROR)
            return
        destination = "/" + entry.destination.strip("/")
        folder, _, last = destination.rpartition("/")
        is_same = last == name
        if not is_same and not _looks_like_a_file(last, name):
            return
        rule = f"a destination is always a directory: the file becomes {posixpath.join(entry.destination, name)}"
        where = f"'destination: {yaml_text(folder)}'" if folder else "the directory, as in 'destination: /srv/app'"
        hint = (
            f"Write {where}"
            if is_same
            else f"Nothing is renamed: call the file {last} in the bundle, and write {where}"
        )
        self.add(f"{key}.destination", rule, hint)

    def script(self, key: str, script: Script, *, will_run: bool) -> None:
        path, member = script.location, self._listing.find(script.location)
        severity = Severity.ERROR if will_run else Severity.WARNING
        if member is None and self._listing.leads_out(path):
            rule = f"{path} leads out of the bundle: what runs is what lies there on each host"
            self.add(key, rule, "Put the script into the bundle")
        elif member is None:
            self.add(key, f"there is no {path} in the bundle", self._near(path, is_script=True), severity)
        elif member.type == "directory":
            self.add(key, f"{path} is a directory", self._script_in(member), severity)
        if member and "crlf" in member.marks:
            rule = f"{path} has Windows line ends: its interpreter will not be found"
            self.add(key, rule, f"Fix it with: sed -i 's/\\r$//' {member.path}")
        if member and "bom" in member.marks:
            rule = f"{path} starts with a byte order mark: its first line is not seen"
            self.add(key, rule, "Save it as UTF-8 without a byte order mark")

    def clashes(self) -> None:
        for clash in self.installed.refused(TWO_FILES, FILE_AND_DIRECTORY)[:10]:
            what = "two files" if clash.kind == TWO_FILES else "a file and a directory"
            rule = f"{what} would be installed at {clash.path}"
            self.add(
                f"files[{clash.entry}]", rule, "Take this entry away, or give it another destination", Severity.ERROR
            )
        if self.installed.refused(ENDLESS):
            rule = f"more than {INSTALLED_AT_MOST} files would be installed"
            hint = "Name each directory in one entry only, and leave out links to directories: each is copied anew"
            self.add("files", rule, hint, Severity.ERROR)

    def _near(self, path: str, *, is_script: bool = False) -> str:
        """The hint for a missing path."""
        words = path.split()
        if is_script and len(words) > 1:
            script = next((word for word in words if (found := self._listing.find(word)) and found.type == "file"), "")
            if script:
                return (
                    f"location is a path, not a command, and scripts get no arguments: 'location: {yaml_text(script)}'"
                )
            return "location is a script's path in the bundle, not a command: put it into a script and name that"
        plain = relative(path.replace("\\", "/"))
        name, folder = posixpath.basename(plain), posixpath.dirname(plain)
        same = [
            one for one in self._listing.by_name.get(name.casefold(), ()) if _is_kind(self._listing, one, is_script)
        ]
        if len(same) == 1:
            return f"Did you mean {same[0]}?"
        beside = [member.path for member in self._listing.children.get(folder, ())]
        return did_you_mean(plain, beside) or "Paths are taken from the top of the bundle"

    def _script_in(self, directory: Member) -> str:
        inside = [member.path for member in self._listing.children.get(directory.path, ()) if member.type == "file"]
        return f"Name a script, such as {inside[0]}" if inside else "Name a script"

    def _link(self, path: str) -> str:
        return f"{path} -> {self._listing.by_path[path].target}"

    def with_keys_of_file(self, text: str) -> str:
        """A text with entries numbered as in the file, counting those that could not be read."""
        return re.sub(r"\bpermissions\[\d+\]", lambda found: self._checked.keys.get(found[0], found[0]), text)

    def add(self, key: str, rule: str, hint: str = "", severity: Severity = Severity.WARNING) -> None:
        """Adds a problem at a key of the plan, reported at the key of the file and the nearest line above."""
        entry = re.match(r"[\w.]*\[\d+\]", key)
        if entry:
            key = self._checked.keys.get(entry[0], entry[0]) + key[entry.end() :]
        line, at = 0, key
        while at and not line:
            line = self._checked.lines.get(at, 0)
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        self.problems.append(Problem(line=line, key=key, rule=rule, hint=hint, severity=severity))


def _looks_like_a_file(last: str, source: str) -> bool:
    """Whether the last part of a destination is the name of a file rather than a directory.

    >>> _looks_like_a_file("ROOT.war", "app.war"), _looks_like_a_file(".env", ".env.production")
    (True, True)
    >>> _looks_like_a_file("conf.d", "app.conf"), _looks_like_a_file(".ssh", "authorized_keys")
    (False, False)
    """
    _, ending = posixpath.splitext(last)
    if ending:
        return bool(_ENDING.fullmatch(ending)) or (ending == posixpath.splitext(source)[1] and not ending[1:].isdigit())
    return last in _DOT_FILES or (last.startswith(".") and source.startswith(last + "."))


def _is_kind(listing: Listing, path: str, is_script: bool) -> bool:
    return not is_script or listing.by_path[path].type != "directory"


def _some(links: list[Member]) -> str:
    """The first and the number of others: `bin/python -> /usr/bin/python3 (and 2 more)`."""
    more = f" (and {len(links) - 1} more)" if len(links) > 1 else ""
    return f"{links[0].path} -> {links[0].target}{more}"
