"""Makes what a recorded case asks for: bundles, and objects on the host before a deployment."""

from __future__ import annotations

import grp
import io
import os
import pwd
import shutil
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

from tests.harness.host.agent_compare import BEFORE_TIME, BUNDLE_TIME
from tests.harness.host.local_host import unbase

if TYPE_CHECKING:
    from tests.harness.host.agent_cases import AgentCase

Json = dict[str, Any]


def env_of(revision: Json | None) -> Json:
    """The variables that the control side gives for a revision."""
    if not revision:
        return {}
    return {"BUNDLE_COMMIT": revision["GitHubRevision"]["CommitId"]}


def nested_prefix(files: Json) -> str:
    """The one surrounding directory that the agent strips, or nothing."""
    top = {path.split("/")[0] for path in files}
    if len(top) != 1:
        return ""
    only = next(iter(top))
    inside = [path.split("/")[1] for path in files if "/" in path]
    return f"{only}/" if any("appspec" in name.lower() for name in inside) else ""


def content_of(case: AgentCase, item: Json) -> bytes:
    if "bytes" in item:
        return bytes(item["bytes"])
    if "content_base64" in item:
        return unbase(item["content_base64"])
    return case.placed(item.get("content", "")).encode("utf-8", "surrogateescape")


def ids(item: Json) -> tuple[int, int]:
    user, group = item.get("owner", "root"), item.get("group", "root")
    return (
        int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid,
        int(group) if group.isdigit() else grp.getgrnam(group).gr_gid,
    )


def tar_of_items(case: AgentCase, items: list[Json]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for item in items:
            member = tarfile.TarInfo(item["path"])
            member.mtime = BUNDLE_TIME
            member.mode = int(item.get("mode", "0777"), 8)
            member.uid, member.gid = ids(item)
            data = b""
            if item["type"] == "d":
                member.type = tarfile.DIRTYPE
            elif item["type"] in "lh":
                member.type = tarfile.SYMTYPE if item["type"] == "l" else tarfile.LNKTYPE
                member.linkname = case.placed(item["target"])
            else:
                data = content_of(case, item)
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return raw.getvalue()


def zip_of(case: AgentCase, items: list[Json]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in items:
            info = zipfile.ZipInfo(item["path"] + ("/" if item["type"] == "d" else ""), (2020, 1, 1, 0, 0, 0))
            fat = item.get("zip_host") == "fat"
            info.create_system = 0 if fat else 3
            kind = {"d": stat.S_IFDIR, "l": stat.S_IFLNK}.get(item["type"], stat.S_IFREG)
            info.external_attr = 0 if fat else (kind | int(item.get("mode", "0777"), 8)) << 16
            data = case.placed(item["target"]).encode() if item["type"] == "l" else content_of(case, item)
            archive.writestr(info, b"" if item["type"] == "d" else data)
    return raw.getvalue()


# -- the host before


def act(case: AgentCase, action: Json) -> None:
    path = case.real(action["path"])
    kind = action["action"]
    if kind == "put":
        put(path, action, case, BEFORE_TIME)
    elif kind == "remove":
        take_away(path)
    elif kind == "append":
        with open(path, "ab") as file:
            file.write(case.placed(action["content"]).encode("utf-8", "surrogateescape"))
    elif kind == "truncate_last_byte":
        with open(path, "rb+") as file:
            file.truncate(os.path.getsize(path) - 1)
    else:
        raise AssertionError(f"unknown action {kind}")


def take_away(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def remember(case: AgentCase, path: str) -> None:
    """What is there before a deployment; `agent_compare.has_changed` looks at it."""
    with open(path, "rb") as file:
        case.contents.setdefault(os.path.relpath(path, case.dest), []).append(file.read())


def put(path: str, item: Json, case: AgentCase, mtime: int) -> None:
    """Makes an object; one of another kind goes first, and a parent that is a file makes it void."""
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return
    kinds = {"f": os.path.isfile, "d": os.path.isdir, "l": os.path.islink, "h": os.path.isfile}
    if os.path.lexists(path) and (os.path.islink(path) or not kinds[item["type"]](path) or item["type"] == "h"):
        take_away(path)
    if item["type"] == "l":
        os.symlink(case.placed(item["target"]), path)
        return
    if item["type"] == "h":
        os.link(case.placed(item["target"]), path)
        remember(case, path)
        return
    if item["type"] == "d":
        os.makedirs(path, exist_ok=True)
    else:
        with open(path, "wb") as file:
            file.write(content_of(case, item))
        remember(case, path)
    os.chown(path, *ids(item))
    os.chmod(path, int(item.get("mode", "0755" if item["type"] == "d" else "0644"), 8))
    os.utime(path, (mtime, mtime))
