"""The AppSpec file of a revision, compiled into the plan that hosts work by, with everything that is wrong with it.

It accepts what the CodeDeploy agent 1.8.1 accepts on Linux, and refuses what that agent refuses when it parses, or
would surely fail at later. What the agent lets pass and people were hurt by is a warning. towline differs on purpose
in these: a byte order mark works, an unquoted `mode: 0644` is octal 644, a context's `user` and `range` are as
documented, an unknown lifecycle event is a warning. What needs the bundle's files is told by `appspec_lint.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from towline.model.appspec_fields import Findings, Place, is_list, is_map, ruby_text, strict_text
from towline.model.appspec_permissions import read_permissions
from towline.model.plan import PLAN_LIMIT_BYTES, CompiledPlan, FileEntry, FileExistsBehavior, Script
from towline.model.problem import Problem, did_you_mean, is_broken
from towline.model.status import HOOK_EVENTS
from towline.model.yaml_nodes import Entries, Scalar, read_document

APPSPEC_NAMES = ("appspec.yml", "appspec.yaml")
"""The names that are looked for, in this order."""

EVENT_LIMIT_SECONDS = 3600
TEXT_LIMIT_BYTES = 1024 * 1024
_NEVER_RUN = ("Start", "BlockTraffic", "DownloadBundle", "Install", "AllowTraffic", "End")
_KEYS = ("version", "os", "files", "permissions", "hooks", "file_exists_behavior")
_FILE_KEY_HINTS = {
    "overwrite": "Use file_exists_behavior: OVERWRITE at the top level",
    **dict.fromkeys(("mode", "owner", "group"), "Use the permissions section"),
    "sources": "Did you mean source?",
    "destinations": "Did you mean destination?",
}
_BEHAVIORS: tuple[FileExistsBehavior, ...] = ("DISALLOW", "OVERWRITE", "RETAIN")


@dataclass(frozen=True)
class Checked:
    """An AppSpec that was read: `value` is None exactly where one of the problems is an error."""

    value: CompiledPlan | None
    problems: tuple[Problem, ...]
    lines: dict[str, int] = field(default_factory=dict)  # the line of each key, for problems found later


def parse_appspec(text: bytes | str, name: str = "appspec.yml") -> Checked:
    """Reads an AppSpec; never raises. `name` is the file's name in the bundle.

    >>> parse_appspec("version: 0.0\\nos: Linux").problems[0].rule
    "must be linux, not 'Linux'"
    """
    found = Findings()
    top = _document(text, found)
    if top is None:
        return Checked(None, tuple(found.problems))
    if not _is_for_linux_servers(top):
        return Checked(None, tuple(found.problems))
    _check_version(top.at("version"))
    _check_os(top.at("os"))
    top.check_keys(_KEYS, dict.fromkeys(HOOK_EVENTS, "Indent it below hooks"))
    plan = CompiledPlan(
        appspec=name,
        hooks=_hooks(top.at("hooks")),
        files=_files(top.at("files")),
        permissions=read_permissions(top.at("permissions")),
        file_exists_behavior=_file_exists_behavior(top.at("file_exists_behavior")),
    )
    _check_size(plan, top)
    problems = tuple(sorted(found.problems, key=lambda problem: problem.line))
    return Checked(None if is_broken(problems) else plan, problems, found.lines)


def _document(text: bytes | str, found: Findings) -> Place | None:
    """The top of the document, or None where there is nothing to read on."""
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
    """False, with the one error that matters, where the whole file is for something else."""
    os = top.at("os").node
    assert isinstance(top.node, Entries)
    if isinstance(os, Scalar) and os.value == "windows":
        top.at("os").error("this is an AppSpec for Windows; towline deploys to Linux")
    elif os is None and top.node.get("Resources"):
        top.at("Resources").error("this is an AppSpec for ECS or Lambda; towline deploys to Linux servers")
    else:
        return True
    return False


def _check_version(place: Place) -> None:
    value = place.node.value if isinstance(place.node, Scalar) else place.node
    if value is None:
        place.error("version is missing", "Write 'version: 0.0'")
    elif isinstance(value, bool) or not isinstance(value, int | float) or value != 0:
        written = place.node.text if isinstance(place.node, Scalar) else "a list or a map"
        quoted = " The quotes make it text" if value == "0.0" else ""
        place.error(f"must be the number 0.0, not {written!r}", f"Write 'version: 0.0'.{quoted}")


def _check_os(place: Place) -> None:
    value = place.node.value if isinstance(place.node, Scalar) else place.node
    if value == "linux":
        return
    if value is None:
        place.error("os is missing", "Write 'os: linux'")
    else:
        written = place.node.text if isinstance(place.node, Scalar) else "a list or a map"
        place.error(f"must be linux, not {written!r}", "Write 'os: linux'")


def _file_exists_behavior(place: Place) -> FileExistsBehavior | None:
    if place.node is None:
        return None
    written = place.node.text if isinstance(place.node, Scalar) else ""
    for behavior in _BEHAVIORS:
        if isinstance(place.node, Scalar) and place.node.value == behavior:
            return behavior
    hint = did_you_mean(written.strip(), _BEHAVIORS)
    place.error(f"must be DISALLOW, OVERWRITE or RETAIN, not {written!r}", hint)
    return None


def _files(section: Place) -> tuple[FileEntry, ...]:
    if not is_list(section, "maps with source and destination"):
        return ()
    entries = (_file_entry(item) for item in section.items() if is_map(item, "source and destination"))
    return tuple(entry for entry in entries if entry)


def _file_entry(item: Place) -> FileEntry | None:
    item.check_keys(("source", "destination"), _FILE_KEY_HINTS)
    values: list[str | None] = []
    for name in ("source", "destination"):
        place = item.at(name)
        if place.node is None:
            place.error(f"a files entry without {name}", "Each entry needs source and destination")
            values.append(None)
        else:
            values.append(strict_text(place, "The agent fails when it installs. Put it in quotes"))
    source, destination = values
    if source is None or destination is None:
        return None
    _warn_of_paths(item, source, destination)
    return FileEntry(source=source, destination=destination)


def _warn_of_paths(item: Place, source: str, destination: str) -> None:
    if re.search(r"[*?]", source):
        item.at("source").warn(f"{source!r} is taken literally: there are no wildcards in source", "Name the directory")
    if "\n" in destination or "\n" in source:
        item.at("destination" if "\n" in destination else "source").warn(
            "the value ends with a line end, and so does the path", "Use >- or quotes in place of | or >"
        )
    if not destination.startswith(("/", "~")):
        where = item.at("destination")
        where.warn(
            f"{destination!r} is not absolute: it is taken from the agent's working directory", "Start it with /"
        )


def _hooks(section: Place) -> dict[str, tuple[Script, ...]]:
    """The scripts of each event that the agent knows; what it ignores is warned of and left out."""
    if section.is_unset:
        return {}
    if not isinstance(section.node, Entries):
        section.error("must be a map of lifecycle events", "Write the events as keys below it")
        return {}
    hooks = {}
    for event in section.node.entries:
        place = section.at(event)
        scripts = _scripts(place)
        if event in HOOK_EVENTS:
            if scripts:
                hooks[event] = scripts
                _warn_of_event_timeout(place, scripts)
        elif event in _NEVER_RUN:
            place.warn("scripts of this event never run", f"Hooks run at {', '.join(HOOK_EVENTS)}")
        else:
            hint = did_you_mean(event.replace(" ", ""), HOOK_EVENTS) or f"The events are {', '.join(HOOK_EVENTS)}"
            place.warn("no such lifecycle event: its scripts never run", hint)
    return hooks


def _scripts(event: Place) -> tuple[Script, ...]:
    if event.is_unset:
        return ()
    if not is_list(event, "maps with location"):
        return ()
    scripts = (_script(item) for item in event.items() if is_map(item, "location"))
    return tuple(script for script in scripts if script)


def _script(item: Place) -> Script | None:
    hints = {
        "args": "Scripts get no arguments",
        "arguments": "Scripts get no arguments",
        "runAs": "Did you mean runas?",
    }
    item.check_keys(("location", "timeout", "runas", "sudo"), hints)
    location = item.at("location")
    path = ruby_text(location) if location.node is not None else ""
    if not path:
        location.error("a script without location", "Name the script's path in the bundle")
    timeout = _timeout(item.at("timeout"))
    runas = item.at("runas")
    user = ruby_text(runas) if runas.node is not None else None
    if not path or timeout is None:
        return None
    sudo = not item.at("sudo").is_unset  # any value but false counts, as in Ruby
    return Script(location=path, timeout=timeout, runas=user, sudo=sudo)


def _timeout(place: Place) -> int | None:
    """Seconds as Ruby's to_i makes them of the value; None and an error where the agent refuses it."""
    if place.is_unset:
        return EVENT_LIMIT_SECONDS
    value = place.node.value if isinstance(place.node, Scalar) else None
    written = place.node.text if isinstance(place.node, Scalar) else "a list or a map"
    seconds = _to_i(value)
    if seconds is None or seconds <= 0:
        place.error(f"timeout must be a number of seconds above 0, not {written!r}", "Write 'timeout: 300'")
        return None
    if str(seconds) != written.strip():
        place.warn(f"{written!r} is read as {seconds} seconds", f"Write 'timeout: {seconds}'")
    return seconds


def _to_i(value: object) -> int | None:
    """Ruby's to_i: leading digits of a text, the whole part of a number; None where Ruby has none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if abs(value) < float("inf") else None
    if isinstance(value, str):
        digits = re.match(r"\s*([+-]?\d{1,18}(?:_\d{1,18})*)", value, re.ASCII)
        return int(digits[1]) if digits else 0
    return None


def _warn_of_event_timeout(event: Place, scripts: tuple[Script, ...]) -> None:
    """Counts only timeouts that were written: the default of 3600 s would say it of every second AppSpec."""
    written = [
        script.timeout for index, script in enumerate(scripts) if f"{event.key}[{index}].timeout" in event.found.lines
    ]
    if sum(written) > EVENT_LIMIT_SECONDS:
        rule = f"the timeouts add up to {sum(written)} s; a lifecycle event ends after {EVENT_LIMIT_SECONDS} s"
        event.warn(rule, "Give the scripts shorter timeouts")


def _check_size(plan: CompiledPlan, top: Place) -> None:
    size = len(plan.model_dump_json(by_alias=True, exclude_defaults=True).encode())
    if size > PLAN_LIMIT_BYTES:
        problem = f"the plan that is made of it has {size} bytes; {PLAN_LIMIT_BYTES} is the limit"
        top.error(problem, "Name directories in place of single files")
