"""Finds the AppSpec among the members of a bundle, or explains why there is none and how to fix that."""

from __future__ import annotations

from towline.errors import InvalidBundle
from towline.model.appspec.parser import APPSPEC_NAMES
from towline.model.bundle.listing import Listing, Member

_MACOS = "__MACOSX"
_ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
_AT_THE_TOP = "it must be called appspec.yml and lie at the top"


def find_appspec(listing: Listing, name: str) -> tuple[str, str]:
    """The AppSpec's name and the path of the member that holds it; raises InvalidBundle if there is none."""
    for candidate in APPSPEC_NAMES:
        member = listing.find(candidate)
        if member and member.type == "file":
            return candidate, member.path
    missing = f"{name}: no appspec.yml (or appspec.yaml) at the top of the bundle"
    for candidate in APPSPEC_NAMES:
        if found := listing.by_path.get(candidate):
            raise InvalidBundle(f"{missing}: {candidate} {_not_a_file(listing, found)}", "Put the file itself there")
    raise InvalidBundle(missing, _hint(listing))


def _not_a_file(listing: Listing, member: Member) -> str:
    if member.type == "directory":
        return "is a directory, not a file"
    where = f"is a link to {member.target}, "
    if listing.leads_out(member.path):
        return where + "which leads out of the bundle"
    return where + ("which is a directory" if listing.find(member.path) else "which is not in the bundle")


def _hint(listing: Listing) -> str:
    top = listing.children.get("", [])
    deeper = [m.path for m in listing.members if m.path.rpartition("/")[2] in APPSPEC_NAMES]
    alike = [member.path for member in top if _is_alike(member)]
    if alike:
        return f"There is {min(alike, key=len)}: call it appspec.yml"
    if hint := _hint_of_macos(top, deeper):
        return hint
    if deeper:
        return f"There is {min(deeper, key=len)}: it must lie at the top of the bundle"
    archives = [member.path for member in top if member.type == "file" and member.path.endswith(_ARCHIVES)]
    if archives:
        return f"It holds another archive, {archives[0]}: unpack it once, and deploy that one"
    backslashes = [member.path for member in top if member.path.rpartition("\\")[2] in APPSPEC_NAMES]
    if backslashes:
        return f"There is {backslashes[0]!r}, with backslashes in its name: {_AT_THE_TOP}"
    mac = [member.path for member in top if member.path.startswith("._") and "appspec" in member.path.casefold()]
    if mac:
        return f"{mac[0]} is what macOS keeps beside a file, not the AppSpec: put appspec.yml into the bundle"
    return _AT_THE_TOP[0].upper() + _AT_THE_TOP[1:]


def _is_alike(member: Member) -> bool:
    return "appspec" in member.path.casefold() and not member.path.startswith("._") and member.type != "directory"


def _hint_of_macos(top: list[Member], deeper: list[str]) -> str:
    """The hint for a top directory that is not stripped because of macOS metadata beside it; empty otherwise."""
    mac = [member.path for member in top if member.path == _MACOS or member.path.startswith("._")]
    others = [member for member in top if member.path not in mac]
    if not mac or len(others) != 1 or others[0].type != "directory":
        return ""
    inside = [path for path in deeper if path.rpartition("/")[0] == others[0].path]
    if not inside:
        return ""
    how = "pack with COPYFILE_DISABLE=1 tar -czf, or with zip -r"
    return f"There is {inside[0]}, but macOS put {mac[0]} beside {others[0].path}: leave it out; {how}"
