"""What a recorded case left on the host, and how it compares with what AWS's agent left."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import stat
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.harness.host.agent_cases import AgentCase

BUNDLE_TIME, BEFORE_TIME = 1577836800, 1546300800
REFUSED_BY_LOCAL_ENTRY = "(before the first event)"
Json = dict[str, Any]


@dataclass
class Seen:
    """What one deployment did here, and in which ways that is not what was recorded."""

    expected: Json
    outcome: str = ""
    events: list[Json] = field(default_factory=list)
    end: Json = field(default_factory=dict)
    tree: dict[str, Json] = field(default_factory=dict)
    cleanup: list[str] | None = None
    scripts_log: str | None = None
    warnings: list[str] = field(default_factory=list)
    compiled: bool = True
    refused_there: bool = False
    problems: list[str] = field(default_factory=list)
    differences: dict[str, str] = field(default_factory=dict)


# -- the host afterwards


def tree_of(case: AgentCase, top: Path) -> dict[str, Json]:
    """Everything under {dest}, as the recordings describe it."""
    found = {}
    for path in [os.fspath(top), *walk(os.fspath(top))]:
        name = os.path.relpath(path, top)
        found[case.unplaced(name)] = entry_of(case, path)
    return found


def walk(top: str) -> Iterator[str]:
    for name in os.listdir(top):
        path = f"{top}/{name}"
        yield path
        if os.path.isdir(path) and not os.path.islink(path):
            yield from walk(path)


def entry_of(case: AgentCase, path: str) -> Json:
    info = os.lstat(path)
    entry: Json = {"owner": name_of(pwd.getpwuid, info.st_uid), "group": name_of(grp.getgrgid, info.st_gid)}
    if stat.S_ISLNK(info.st_mode):
        return {**entry, "type": "l", "target": case.unplaced(os.readlink(path))}
    entry["mode"] = f"{stat.S_IMODE(info.st_mode):04o}"
    if stat.S_ISDIR(info.st_mode):
        entry["type"] = "d"
    else:
        data = Path(path).read_bytes()
        times = {BUNDLE_TIME: "bundle", BEFORE_TIME: "pre"}
        entry.update(type="f", mtime=times.get(int(info.st_mtime), "new"), data=data)
    acl = acl_of(path)
    if acl:
        entry["acl"] = acl
    return entry


def name_of(lookup: Any, number: int) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def acl_of(path: str) -> list[str] | None:
    names = os.listxattr(path)
    if not any(name.startswith("system.posix_acl") for name in names):
        return None
    done = subprocess.run(["getfacl", "-cpE", path], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.split("\n") if line]


# -- comparing


def compare(case: AgentCase, deployment: Json, seen: Seen, unstable: list[Json]) -> None:
    """Fills `differences`: what counts is what ran, the outcome, diagnostics, tree, clean-up list."""
    expected = deployment["expected"]
    compare_end(case, deployment, seen)
    others = {item["field"]: item.get("with_reverse_order", ...) for item in unstable}
    wrong = tree_differences(case, expected["tree"], seen)
    if wrong and ("tree" not in others or tree_differences(case, others["tree"], seen)):
        seen.differences["tree"] = wrong
    if seen.cleanup != expected["cleanup"] and seen.cleanup != others.get("cleanup", expected["cleanup"]):
        seen.differences["cleanup"] = f"{seen.cleanup} not {expected['cleanup']}"
    if others.get("scripts_log") is not ...:
        compare_log(case, deployment, seen)
    compare_places(case, deployment, seen)
    for path, entry in seen.tree.items():
        case.contents.setdefault(path, []).append(entry.get("data"))


def compare_end(case: AgentCase, deployment: Json, seen: Seen) -> None:
    expected = deployment["expected"]
    if expected["failed_event"] == REFUSED_BY_LOCAL_ENTRY:
        return
    recorded = [(item["event"], item["noop"], item["result"]) for item in expected["events"]]
    ours = [(item["event"], item["noop"], item["status"].lower()) for item in seen.events]
    refused = not seen.compiled or seen.refused_there
    if refused and expected["outcome"] == "failed" and expected["error_code"] == 5:
        if seen.refused_there and seen.compiled:
            seen.differences["compiled"] = "the agent refuses this AppSpec"
        if recorded[-1:] != ours[-1:]:
            recorded = recorded[:-1]
        if ours != recorded:
            seen.differences["events"] = f"{ours} not {recorded}"
        return
    if not seen.compiled:
        seen.differences["compiled"] = f"did not compile: {seen.problems}"
        return
    if ours != recorded:
        seen.differences["events"] = f"{ours[-2:]} not {recorded[-2:]}: {seen.end.get('message')}"
    for name in ("outcome", "failed_event"):
        if (seen.end.get(name) or None) != expected[name]:
            seen.differences[name] = f"{seen.end.get(name)!r} not {expected[name]!r}: {seen.end.get('message')}"
    if expected["outcome"] == "failed":
        compare_failure(case, deployment, seen)


def compare_failure(case: AgentCase, deployment: Json, seen: Seen) -> None:
    expected = deployment["expected"]
    if seen.end["error_code"] != expected["error_code"]:
        seen.differences["error_code"] = f"{seen.end['error_code']} not {expected['error_code']}: {seen.end['message']}"
    if expected["error_code"] == 5:
        return  # the texts of Ruby's own errors are not ours
    unstable = {item["field"] for item in case.case["unstable"]}
    for name in ("script_name", "message", "log"):
        if name in unstable:
            continue
        ours, theirs = case.unplaced(seen.end[name], deployment), expected[name]
        if not same_text(ours, theirs):
            seen.differences[name] = f"{ours!r} not {theirs!r}"


def same_text(ours: str, theirs: str) -> bool:
    """Lines of the two outputs of a script come in an order that nobody promises; {pid} and {time} stand for any."""
    if ours == theirs:
        return True
    if "{pid}" not in theirs and "{time}" not in theirs:
        return sorted(ours.split("\n")) == sorted(theirs.split("\n")) and "[stderr]" in theirs
    pattern = re.escape(theirs).replace(r"\{pid\}", r"\d+").replace(r"\{time\}", r".*?")
    return re.fullmatch(pattern, ours, re.DOTALL) is not None


def without_set_id(ours: str, theirs: str) -> bool:
    """Whether a mode only lacks the set-user-id and set-group-id bits that the archive had."""
    return ours == f"{int(theirs, 8) & 0o1777:04o}"


def literally(ours: str, theirs: str) -> bool:
    """Whether a mode is what was written, where YAML made octal of it and the agent took that as decimal digits."""
    return int(theirs) == int(ours, 8)


Alike = Callable[[str, str], bool]


def tree_differences(case: AgentCase, recorded: list[Json], seen: Seen, modes: Collection[Alike] = ()) -> str:
    """What differs in the tree; `modes` say which modes (ours, the recorded) count as alike though they differ."""
    wrong = []
    theirs = {item["path"]: item for item in recorded}
    for path in sorted(set(theirs) | set(seen.tree)):
        if path not in theirs or path not in seen.tree:
            wrong.append(f"{'extra' if path in seen.tree else 'missing'} {path!r}")
            continue
        ours = seen.tree[path]
        for key, value in theirs[path].items():
            mine = ours.get(key)
            if key == "content":
                value = value.replace("{archive}", current_archive(case))
                value = value.replace("{dest}", str(case.dest)).replace("{root}", str(case.root))
                mine = text_of(ours.get("data", b""))
                if same_text(mine, value):
                    continue
            elif key == "sha256":
                mine = hashlib.sha256(unplaced_bytes(case, ours.get("data", b""))).hexdigest()
            elif key == "path":
                continue
            if key == "mode" and mine is not None and any(alike(mine, value) for alike in modes):
                continue
            if key == "mtime" and (mine, value) == ("new", "bundle") and has_changed(case, path, ours):
                continue  # the agent gives changed content the archive's time, be it older than what was there
            if mine != value:
                wrong.append(f"{path!r} {key} {mine!r} not {value!r}")
        if "acl" in ours and "acl" not in theirs[path]:
            wrong.append(f"{path!r} has an ACL {ours['acl']}")
    return "; ".join(wrong)


def has_changed(case: AgentCase, path: str, entry: Json) -> bool:
    """Whether there was other content at this path, before the case or at the end of an earlier deployment."""
    return any(data != entry.get("data") for data in case.contents.get(path, ()))


def unplaced_bytes(case: AgentCase, data: bytes) -> bytes:
    return data.replace(os.fsencode(case.dest), b"{dest}").replace(os.fsencode(case.root), b"{root}")


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def current_archive(case: AgentCase) -> str:
    """What {archive} means in a file: that of the deployment whose pointer is newest."""
    pointers = sorted(
        (case.root / "deployment-instructions").glob("*_most_recent_install"), key=lambda path: path.stat().st_mtime_ns
    )
    return f"{pointers[-1].read_text()}/deployment-archive" if pointers else "{archive}"


def compare_log(case: AgentCase, deployment: Json, seen: Seen) -> None:
    expected = deployment["expected"]
    theirs, ours = expected["scripts_log"], seen.scripts_log
    if theirs is None or ours is None:
        if theirs != ours:
            seen.differences["scripts_log"] = f"{ours!r} not {theirs!r}"
        return
    if "scripts_log_lines" in expected:
        right = ours.startswith(theirs[:490]) and ours.endswith(theirs[-490:])  # a cut one has its two ends
        if len(ours.splitlines()) != expected["scripts_log_lines"] or not right:
            seen.differences["scripts_log"] = f"{len(ours.splitlines())} lines, {ours!r}"
    elif not same_text(ours, theirs):
        seen.differences["scripts_log"] = f"{ours!r} not {theirs!r}"


def compare_places(case: AgentCase, deployment: Json, seen: Seen) -> None:
    expected, group = deployment["expected"], deployment["options"]["group_id"]
    pointers = {}
    for name in ("last_successful_install", "most_recent_install"):
        path = case.root / "deployment-instructions" / f"{group}_{name}"
        pointers[name] = case.unplaced(path.read_text()) if path.exists() else None
    if pointers != expected["pointers"]:
        seen.differences["pointers"] = f"{pointers} not {expected['pointers']}"
    base = case.root / group
    directories = sorted(path.name for path in base.iterdir() if path.is_dir()) if base.exists() else []
    if directories != expected["deployment_dirs"]:
        seen.differences["deployment_dirs"] = f"{directories} not {expected['deployment_dirs']}"
