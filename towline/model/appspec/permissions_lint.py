"""Checks the `permissions` of an AppSpec against the files that its bundle installs: no effect, overlaps, harm."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from towline.host.runner.glob import glob_matches
from towline.host.runner.text import absolute
from towline.model.appspec.bundle_install import BundleInstall
from towline.model.appspec.plan import Permission
from towline.model.problem import Severity, did_you_mean
from towline.model.visible import quoted
from towline.model.yaml.quoting import yaml_text

_MOST_STEPS = 3_000_000  # paths checked, over all permissions
_MOST_NAMES = 5  # in a hint


@dataclass(frozen=True)
class PermissionProblem:
    """A problem of a permission; `key` is in terms of the plan: `permissions[1].mode`."""

    key: str
    rule: str
    hint: str = ""
    severity: Severity = Severity.WARNING


def lint_permissions(
    permissions: Sequence[Permission], installed: BundleInstall, *, is_whole: bool = True
) -> Iterator[PermissionProblem]:
    """The problems of permissions with the installed files. `is_whole`: every entry of `files` could be parsed."""
    overlaps = _Overlaps(permissions, installed)
    steps = 0
    for index, permission in enumerate(permissions):
        steps += sum(len(installed.below(absolute(permission.object), kind)) for kind in permission.type) + 1
        if steps > _MOST_STEPS:
            rule = "there are too many permissions and files to compare; overlaps are found on hosts, when they install"
            yield PermissionProblem(f"permissions[{index}]", rule, "Name directories in place of single files")
            return
        paths = list(installed.of_permission(permission))
        if is_whole:
            yield from _without_effect(f"permissions[{index}]", permission, paths, installed)
        yield from overlaps.find(index, paths)
        yield from _harmful(f"permissions[{index}]", permission, paths, installed)


def _without_effect(
    key: str, permission: Permission, paths: list[str], installed: BundleInstall
) -> Iterator[PermissionProblem]:
    target = absolute(permission.object)
    kind = installed.kind(target)
    if kind == "file":
        yield from _on_a_file(key, permission, target)
    elif not permission.type:
        return
    elif not any(installed.below(target, kind) for kind in ("file", "directory")):
        near = did_you_mean(target, installed.directories)
        yield PermissionProblem(
            f"{key}.object",
            f"nothing is installed at or below {target}",
            near or "Permissions are only for what this bundle installs",
        )
    elif not paths and not any(installed.below(target, kind) for kind in permission.type):
        rule = f"no {permission.type[0]} is installed below {target}, and the permission is for nothing else"
        yield PermissionProblem(f"{key}.type", rule, "Write 'type: [file, directory]'")
    elif not paths and not permission.except_ and "/" not in permission.pattern:  # the parser has reported that one
        hint = "A pattern other than ** is for what lies directly in the object"
        yield PermissionProblem(
            f"{key}.pattern", f"{quoted(permission.pattern)} matches nothing that is installed", hint
        )
    else:
        yield from _except(key, permission, target, installed)


def _on_a_file(key: str, permission: Permission, target: str) -> Iterator[PermissionProblem]:
    if "file" not in permission.type:
        if permission.type:
            rule = f"{target} is a file, and the permission is for directories only"
            yield PermissionProblem(f"{key}.type", rule, "Write 'type: [file]'")
        return
    if permission.pattern != "**":
        rule = f"{target} is a file: no pattern may be given"
        yield PermissionProblem(f"{key}.pattern", rule, "Take pattern away", Severity.ERROR)
    if permission.except_:
        rule = f"{target} is a file: no except may be given"
        yield PermissionProblem(f"{key}.except", rule, "Take except away", Severity.ERROR)


def _except(key: str, permission: Permission, target: str, installed: BundleInstall) -> Iterator[PermissionProblem]:
    start = len(target.rstrip("/")) + 1
    without = permission.model_copy(update={"except_": ()})
    names = [path[start:] for path in installed.of_permission(without)] if permission.except_ else []
    direct = [name for name in names if "/" not in name]
    for index, item in enumerate(permission.except_[:100]):
        if "/" in item or not item:
            continue  # reported by the parser
        where = f"{key}.except[{index}]"
        inner = _directory_with_content(item, permission, target, installed, names)
        if inner:
            rule = f"{quoted(item)} excludes no more than the directory itself: what lies in {inner} stays selected"
            hint = "except is for what lies directly in the object; name the directories beside it as objects instead"
            yield PermissionProblem(where, rule, hint)
        elif not any(glob_matches(name, item) for name in direct):
            deeper = any(glob_matches(posixpath.basename(name), item) for name in names)
            hint = "It is only for what lies directly in the object, not in directories below" if deeper else ""
            rule = f"{quoted(item)} matches nothing"
            yield PermissionProblem(where, rule, hint or did_you_mean(item, direct) or "Take it away")


def _directory_with_content(
    item: str, permission: Permission, target: str, installed: BundleInstall, names: list[str]
) -> str:
    """The directory that an item of `except` names if its contents are selected nevertheless; else empty."""
    if permission.pattern != "**" or "*" in item or installed.kind(posixpath.join(target, item)) != "directory":
        return ""
    return item if any(name.startswith(f"{item}/") for name in names) else ""


def _harmful(
    key: str, permission: Permission, paths: list[str], installed: BundleInstall
) -> Iterator[PermissionProblem]:
    if any(entry.default for entry in permission.acls or ()):
        files = [path for path in paths if installed.kind(path) == "file"]
        if files:
            rule = f"default ACL entries are for directories, and {files[0]} is a file"
            hint = "Name a directory" if files[0] == absolute(permission.object) else "Write 'type: [directory]'"
            yield PermissionProblem(f"{key}.acls", rule, hint, Severity.ERROR)
    if permission.mode and (closed := _cannot_enter(permission.mode)):
        directories = [path for path in paths if installed.kind(path) == "directory"]
        if directories:
            more = f" (and {len(directories) - 1} more)" if len(directories) > 1 else ""
            rule = f"directories get mode {permission.mode}, too: {directories[0]}{more} cannot be entered by {closed}"
            yield PermissionProblem(f"{key}.mode", rule, "Write 'type: [file]', and a mode such as 755 for directories")


def _cannot_enter(mode: str) -> str:
    """The users who may read a directory of this mode but not enter it.

    >>> _cannot_enter("644"), _cannot_enter("0750"), _cannot_enter("744")
    ('owner, group and others', '', 'group and others')
    """
    classes = zip(("owner", "group", "others"), mode[-3:], strict=True)
    closed = [name for name, digit in classes if int(digit) & 6 and not int(digit) & 1]
    return " and ".join(part for part in (", ".join(closed[:-1]), "".join(closed[-1:])) if part)


@dataclass
class _Overlaps:
    """Maps each path to its permission; a path may have only one."""

    permissions: Sequence[Permission]
    installed: BundleInstall
    _owners: dict[str, int] = field(default_factory=dict)

    def find(self, index: int, paths: list[str]) -> Iterator[PermissionProblem]:
        """The first overlap of a permission with an earlier one, with a hint."""
        shared: dict[int, list[str]] = {}
        for path in paths:
            first = self._owners.setdefault(path, index)
            if first != index:
                shared.setdefault(first, []).append(path)
        for first, both in list(shared.items())[:1]:
            more = f" (and {len(both) - 1} more)" if len(both) > 1 else ""
            rule = f"{both[0]}{more} is also selected by permissions[{first}]"
            yield PermissionProblem(f"permissions[{index}]", rule, self._way_out(first, index, both), Severity.ERROR)

    def _way_out(self, first: int, second: int, both: list[str]) -> str:
        one, other = self.permissions[first], self.permissions[second]
        for number, permission in ((first, one), (second, other)):
            names = self._direct(permission, both)
            if names:
                items = ", ".join(yaml_text(name) for name in (*permission.except_, *names))
                return f"Write 'except: [{items}]' in permissions[{number}]"
        if absolute(one.object) == absolute(other.object) and one.pattern == other.pattern:
            return "Join the two, or give one of them another type"
        outer = min(one.object, other.object, key=len)
        return f"except is only for what lies directly in an object: in place of {outer}, name what lies in it"

    def _direct(self, permission: Permission, both: list[str]) -> list[str]:
        """The paths as names for `except`; empty if it cannot name them all."""
        target = absolute(permission.object)
        if self.installed.kind(target) == "file" or len(both) > _MOST_NAMES:
            return []
        names = [path[len(target.rstrip("/")) + 1 :] for path in both]
        return [] if any("/" in name or "*" in name for name in names) else names
