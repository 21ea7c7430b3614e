"""Compiles the AppSpec file of a revision into the plan for hosts, and collects all of its problems.

Accepts what the CodeDeploy agent 1.8.1 accepts on Linux, and refuses what that agent refuses when parsing or is certain
to fail at later. What the agent accepts and users have been hurt by is a warning. towline differs on purpose in these:
a byte order mark works, an unquoted `mode: 0644` is octal 644, a context's `user` and `range` are as documented, an
unknown lifecycle event is a warning. Checks that need the bundle's files are in `lint.py`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from towline.model.appspec.fields import Findings, Place
from towline.model.appspec.files import read_behavior, read_files
from towline.model.appspec.hooks import read_hooks
from towline.model.appspec.permissions import read_permissions
from towline.model.appspec.plan import PLAN_LIMIT_BYTES, CompiledPlan
from towline.model.deployment.lifecycle import HOOK_EVENTS
from towline.model.problem import Problem, is_broken
from towline.model.visible import quoted
from towline.model.yaml.psych import Entries, Scalar, read_document

APPSPEC_NAMES = ("appspec.yml", "appspec.yaml")
"""Accepted file names, in order of preference."""

TEXT_LIMIT_BYTES = 1024 * 1024
_KEYS = ("version", "os", "files", "permissions", "hooks", "file_exists_behavior")
_KEY_HINTS = {
    **dict.fromkeys(HOOK_EVENTS, "Indent it below hooks"),
    **dict.fromkeys(("fileExistsBehavior", "file-exists-behavior"), "Did you mean file_exists_behavior?"),
}


@dataclass(frozen=True)
class Checked:
    """A parsed AppSpec: `value` is None if and only if one of the problems is an error.

    `readable` is the plan of what could be read despite errors, None if nothing could. `lines` maps keys to lines, for
    problems found later; `keys` maps entries of `readable` to those of the file (`files[2]`) if different; `unread`
    names the sections that `readable` has only in part.
    """

    value: CompiledPlan | None
    problems: tuple[Problem, ...]
    lines: dict[str, int] = field(default_factory=dict)
    readable: CompiledPlan | None = None
    keys: dict[str, str] = field(default_factory=dict)
    unread: Set[str] = frozenset()


def parse_appspec(text: bytes | str, name: str = "appspec.yml", *, is_deployed: bool = False) -> Checked:
    """Parses an AppSpec; never raises. `name` is the file's name in the bundle.

    `is_deployed`: AWS's agent has deployed it, so what only towline refuses (`~`) is a warning.

    >>> parse_appspec("version: 0.0\\nos: Linux").problems[0].rule
    "must be linux, not 'Linux'"
    """
    found = Findings(is_deployed=is_deployed)
    top = _document(text, found)
    if top is None:
        nothing = CompiledPlan(appspec=name)
        return Checked(None, tuple(found.problems), readable=nothing, unread={"files", "permissions", "hooks"})
    if not _is_for_linux_servers(top):
        return Checked(None, tuple(found.problems))
    _check_version(top.at("version"))
    _check_os(top.at("os"))
    top.check_keys(_KEYS, _KEY_HINTS)
    plan = CompiledPlan(
        appspec=name,
        hooks=read_hooks(top.at("hooks")),
        files=read_files(top.at("files")),
        permissions=read_permissions(top.at("permissions")),
        file_exists_behavior=read_behavior(top.at("file_exists_behavior")),
    )
    _check_size(plan, top)
    problems = tuple(sorted(found.problems, key=lambda problem: problem.line))
    value = None if is_broken(problems) else plan
    return Checked(value, problems, found.lines, plan, found.keys, frozenset(found.unread))


def _document(text: bytes | str, found: Findings) -> Place | None:
    """The top of the document, or None if it cannot be parsed further."""
    decoded = _decoded(text, found)
    if decoded is None:
        return None
    document = read_document(decoded)
    found.problems.extend(document.problems)
    top = Place(document.root, "", 1, found)
    if isinstance(document.root, Entries):
        return top
    if top.is_unset:
        if not is_broken(document.problems):
            top.error("the file is empty", "It needs at least 'version: 0.0' and 'os: linux'")
    else:
        top.error("must be a map with the keys version, os, files, permissions, hooks")
    return None


def _decoded(text: bytes | str, found: Findings) -> str | None:
    whole = Place(None, "", 1, found)
    try:
        encoded = text.encode() if isinstance(text, str) else text
        decoded = encoded.decode()
    except UnicodeError:
        whole.error("the file is not UTF-8 text", "Save it as UTF-8")
        return None
    if len(encoded) > TEXT_LIMIT_BYTES:
        whole.error(f"the file has {len(encoded)} bytes; {TEXT_LIMIT_BYTES} is the limit")
        return None
    if decoded.startswith("\ufeff"):
        hint = "Save it as UTF-8 without a byte order mark"
        whole.warn("the file starts with a byte order mark, at which AWS's agent fails", hint)
    return decoded.removeprefix("\ufeff")


def _is_for_linux_servers(top: Place) -> bool:
    """False, with a single error, if the file is an AppSpec for another platform."""
    os = top.at("os").node
    assert isinstance(top.node, Entries)
    if isinstance(os, Scalar) and str(os.value).lower() == "windows":
        hint = "Write 'os: linux' if it is meant for Linux, and paths that start with '/'"
        top.at("os").error("this is an AppSpec for Windows; towline deploys to Linux", hint)
    elif os is None and (key := next((key for key in ("Resources", "resources") if top.node.get(key)), "")):
        hint = "An AppSpec for servers has os, files, permissions and hooks in place of Resources"
        rule = f"{key} belongs to AppSpecs for ECS and Lambda; towline deploys to Linux servers"
        top.at(key).error(rule, hint)
    else:
        return True
    return False


def _check_version(place: Place) -> None:
    value = place.node.value if isinstance(place.node, Scalar) else place.node
    if value is None:
        place.error("version is missing", "Write 'version: 0.0'")
    elif isinstance(value, bool) or not isinstance(value, int | float) or value != 0:
        written = place.node.text if isinstance(place.node, Scalar) else "a list or a map"
        why = "; the quotes make it text" if value == "0.0" else ""
        place.error(f"must be the number 0.0, not {quoted(written)}", f"Write 'version: 0.0'{why}")


def _check_os(place: Place) -> None:
    value = place.node.value if isinstance(place.node, Scalar) else place.node
    if value == "linux":
        return
    if value is None:
        place.error("os is missing", "Write 'os: linux'")
    else:
        written = place.node.text if isinstance(place.node, Scalar) else "a list or a map"
        place.error(f"must be linux, not {quoted(written)}", "Write 'os: linux'")


def _check_size(plan: CompiledPlan, top: Place) -> None:
    size = len(plan.model_dump_json(by_alias=True).encode())
    if size > PLAN_LIMIT_BYTES:
        problem = f"the plan that is made of it has {size} bytes; {PLAN_LIMIT_BYTES} is the limit"
        top.error(problem, "Name directories in place of single files")
