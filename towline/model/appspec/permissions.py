"""Parses the `permissions` of an AppSpec: objects, patterns, modes, ACLs and SELinux contexts."""

from __future__ import annotations

import re
from typing import Literal

from towline.model.appspec.fields import Kind, Place, is_list, read_entries, ruby_text, strict_text
from towline.model.appspec.paths import warn_of_place, warn_of_text
from towline.model.appspec.plan import AclEntry, Permission, SELinuxContext
from towline.model.problem import did_you_mean
from towline.model.visible import quoted
from towline.model.yaml.psych import Entries, Scalar
from towline.model.yaml.quoting import yaml_text

_PERMISSION = Kind(
    required=("object",),
    known=("object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type"),
    hints={
        **dict.fromkeys(("acl", "ACL"), "Did you mean acls?"),
        **dict.fromkeys(("user", "runas", "username"), "Did you mean owner?"),
        **dict.fromkeys(("perms", "permission", "permissions", "chmod"), "Did you mean mode?"),
        **dict.fromkeys(("exclude", "excludes", "exception"), "Did you mean except?"),
        "file_exists_behavior": "It belongs at the top of the file, beside permissions",
    },
    meant=dict.fromkeys(("path", "file", "directory", "dir", "destination", "source", "target", "location"), "object"),
)
_RANGE_FORM = "The form is s0[-s3][:c0.c5[,c7]]"
_LAST_ID = 2**32 - 2
_TYPES: tuple[Literal["file", "directory"], ...] = ("file", "directory")
AclType = Literal["user", "group", "mask", "other"]
_ACL_TYPES: dict[str, AclType] = {
    "u": "user",
    "user": "user",
    "g": "group",
    "group": "group",
    "m": "mask",
    "mask": "mask",
    "o": "other",
    "other": "other",
}
_DEFAULT = ("d", "default")
_CATEGORIES = r"c\d{1,9}(?:\.c\d{1,9})?"
_RANGE = re.compile(rf"s(\d{{1,9}})(?:-s(\d{{1,9}}))?(?::({_CATEGORIES}(?:,{_CATEGORIES})*))?", re.ASCII)


def read_permissions(section: Place) -> tuple[Permission, ...]:
    """The permissions of a plan; problems go to the section's findings."""
    entries: list[Permission] = []
    for item in read_entries(section, _PERMISSION):
        if entry := _permission(item):
            section.found.keys[f"permissions[{len(entries)}]"] = item.key
            entries.append(entry)
    return tuple(entries)


def _permission(item: Place) -> Permission | None:
    path = _object(item)
    mode, owner, types = mode_text(item.at("mode")), _name(item.at("owner")), _type(item.at("type"))
    if owner and mode and len(mode) == 4 and mode[0] in "234567" and "file" in types:
        item.at("mode").warn(
            f"mode {mode} with an owner: chown comes last and takes setuid and setgid away from files",
            "Set the mode in an AfterInstall script; for directories alone, write type: [directory]",
        )
    permission = {
        "object": path,
        "pattern": _pattern(item.at("pattern")),
        "except": _except(item.at("except")),
        "type": types,
        "owner": owner,
        "group": _name(item.at("group")),
        "mode": mode,
        "acls": _acls(item.at("acls")),
        "context": _context(item.at("context")),
    }
    return Permission.model_validate(permission) if path else None


def _object(item: Place) -> str:
    """The path of the object; empty, with an error, if there is none."""
    assert isinstance(item.node, Entries)
    place, meant = item.at("object"), ""
    path = ruby_text(place) if place.node is not None else ""
    if path and not warn_of_place(place, path):
        path = ""
    elif not path and not place.is_alias and (place.node is None or isinstance(place.node, Scalar)):
        meant = _PERMISSION.meant_by(item.node, "object")
        if meant:
            value = item.node.entries[meant]
            written = yaml_text(value.text) if isinstance(value, Scalar) else "…"
            hint = f"Write 'object: {written}' in place of {quoted(meant)}"
            item.at(meant).error("a permission without object", hint)
        else:
            hint = "Name the file or directory that it is for: 'object: /…'"
            place.error("a permission without object", hint)
    item.check_keys(_PERMISSION.known, _PERMISSION.hints, (meant,))
    return path


def _pattern(place: Place) -> str:
    if place.is_unset:
        return "**"
    pattern = strict_text(place)
    if pattern is None:
        return "**"
    _warn_of_glob(place, pattern)
    return pattern


def _except(place: Place) -> tuple[str, ...]:
    if not is_list(place, 'names, such as ["*.sh"]', '["*.sh"]'):
        return ()
    items = []
    for item in place.items():
        name = strict_text(item)
        if name is not None:
            _warn_of_glob(item, name)
            items.append(name)
    return tuple(items)


def _warn_of_glob(place: Place, glob: str) -> None:
    """The pattern. Only `*` is special and matches within one level; `**` is a pattern of its own."""
    if "/" in glob:
        hint = "Name an object further down, and here what lies directly in it"
        place.warn(f"{quoted(glob)} matches nothing: a name with '/' never matches", hint)
    elif not glob:
        place.warn("an empty name matches nothing", "Leave it out")
    elif re.search(r"[?\[\]{}]", glob):
        hint = "Write a name, or '*' for any letters"
        place.warn(f"in {quoted(glob)} only * is special; ?, [] and {{}} are taken literally", hint)


def _type(place: Place) -> tuple[Literal["file", "directory"], ...]:
    if place.is_unset:
        return _TYPES
    if not is_list(place, "file and directory", "[file]"):
        return _TYPES
    types = []
    for item in place.items():
        known = [kind for kind in _TYPES if isinstance(item.node, Scalar) and item.node.value == kind]
        types += known
        if not known:
            written = item.node.text if isinstance(item.node, Scalar) else "a list or a map"
            hint = did_you_mean(written, _TYPES) or "Write file or directory; without type it is for both"
            item.error(f"type must be file or directory, not {quoted(written)}", hint)
    if not place.items():
        place.warn("an empty list: the permission is for nothing", "Leave it out for files and directories")
    return tuple(types)


def _name(place: Place) -> str | None:
    """The name of an owner or group. The agent fails at a number, and looks up a quoted one as a name."""
    if place.node is None:
        return None
    name = strict_text(place, "Write the name: the agent knows no numbers")
    if name is None or not warn_of_text(place, name):
        return None
    if ":" in name:
        hint = f"Write '{place.name}: {yaml_text(name.partition(':')[0] or 'NAME')}', and the other with its own key"
        place.warn(f"{quoted(name)} is looked up as one name, ':' and all", hint)
    elif name.isdigit():
        place.warn(f"{quoted(name)} is looked up as a name, not as an id", "Use the name")
    return name


def mode_text(place: Place) -> str | None:
    """The mode as three or four octal digits.

    Unquoted octal digits are meant as written: YAML reads `0644` as 420, and agent 1.8.1 silently sets mode 0420.
    """
    if place.node is None or place.is_alias:
        return None
    if not isinstance(place.node, Scalar):
        place.error("mode must be octal digits", """Write them as in 'mode: "0644"'""")
        return None
    node = place.node
    text = ruby_number(node)
    if node.plain and re.fullmatch(r"0+[0-7]{1,4}", node.text) and isinstance(node.value, int):
        text = node.text.lstrip("0").rjust(3, "0").rjust(min(len(node.text), 4), "0")
        if node.value != 0:
            agent = f"mode {node.value:0>4}" if re.fullmatch(r"[0-7]{1,4}", str(node.value)) else "an error"
            rule = f"unquoted {node.text} is octal for YAML: agent 1.8 makes {agent} of it, towline {text}"
            place.warn(rule, f'Put it in quotes: "{text}"')
    text = text.rjust(3, "0")
    if not re.fullmatch(r"[0-7]{3,4}", text):
        rule = f"mode must be one to four octal digits, not {quoted(node.text)}"
        place.error(rule, f"""Write 'mode: "{meant_mode(node.text)}"'""")
        return None
    return text


def meant_mode(written: str) -> str:
    """The octal digits that were probably meant by a mode in another notation.

    >>> [meant_mode(text) for text in ("00644", "0o755", "u=rwx,g=rx,o=", "rwxr-x--x", "a+x", "02755")]
    ['0644', '0755', '0750', '0751', '0644', '2755']
    """
    digits = re.fullmatch(r"0*o?([0-7]{3,4})", written.strip())
    if digits:
        return digits[1].rjust(4, "0")
    listed = re.fullmatch(r"-?([r-][w-][xsS-])([r-][w-][xsS-])([r-][w-][xtT-])", written.strip())
    named = re.fullmatch(r"u=([rwx]*),g=([rwx]*),o=([rwx]*)", written.strip())
    if found := listed or named:
        bits = {"r": 4, "w": 2, "x": 1}
        return "0" + "".join(str(sum(bits.get(letter, 0) for letter in set(part))) for part in found.groups())
    return "0644"


def ruby_number(node: Scalar) -> str:
    """A scalar as Ruby writes it: `+644` is 644, `yes` is true."""
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return str(node.value) if isinstance(node.value, int) else node.text


def _acls(place: Place) -> tuple[AclEntry, ...] | None:
    if place.node is None:
        return None
    if place.is_unset or not is_list(place, 'entries such as "u:alice:rw"', '["u:alice:rw"]'):
        if place.is_unset:
            place.error('must be a list of entries such as "u:alice:rw"', """Write 'acls: ["u:alice:rw"]'""")
        return None
    entries = []
    for item in place.items():
        text = strict_text(item, 'Write letters, as in "u:alice:rw"')
        entry = acl_entry(item, text) if text is not None else None
        entries += [entry] if entry else []
    return tuple(entries)


def acl_entry(place: Place, text: str) -> AclEntry | None:
    """One entry: `[d:]type:name:perms`, or short `m:rw`, `bob:rw`, `d:bob:rw`; None and an error if invalid."""
    parts = text.split(":")
    is_default = len(parts) > 2 and parts[0] in _DEFAULT
    *kinds, name, perms = parts[1:] if is_default else parts if len(parts) > 1 else ["", "", ""]
    if len(parts) < 2 or len(kinds) > 1 or not set(kinds) <= set(_ACL_TYPES):
        place.error(f"invalid ACL entry {quoted(text)}", "The form is [d:]type:name:permissions, as in u:alice:rw")
        return None
    if not kinds and _ACL_TYPES.get(name) in ("mask", "other"):
        kinds, name = [name], ""
    kind = _ACL_TYPES[kinds[0]] if kinds else "user"
    if kind in ("mask", "other") and name:
        place.error(f"invalid ACL entry {quoted(text)}", f"An entry for {kind} has no name")
        return None
    if not name and not is_default and kind != "mask":
        place.error(f"ACL entry {quoted(text)} is for owner, group or others themselves", "Use mode for these")
        return None
    if name.isdigit() and int(name[:12]) > _LAST_ID:
        place.error(f"ACL entry {quoted(text)}: no user or group has the number {name}", "Write the name")
        return None
    if not kinds and name in _ACL_TYPES:
        rule = f"{quoted(text)} is for a user who is called {quoted(name)}"
        place.warn(rule, "The form is [d:]type:name:permissions")
    bits = _permission_bits(place, perms, text)
    return AclEntry(default=is_default, type=kind, name=name, perms=bits) if bits else None


def _permission_bits(place: Place, perms: str, text: str) -> str | None:
    """Permissions in setfacl's form `rwx`, from a digit or any mix of the letters."""
    if re.fullmatch(r"[0-7]", perms):
        perms = "".join(letter for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if int(perms) & bit)
    if set(perms) - set("rwx-"):
        rule = f"ACL entry {quoted(text)}: permissions are a digit or letters of rwx-, not {quoted(perms)}"
        place.error(rule, "Write letters, as in u:alice:rw")
        return None
    return "".join(letter if letter in perms else "-" for letter in "rwx")


def _context(place: Place) -> SELinuxContext | None:
    if place.node is None:
        return None
    if not isinstance(place.node, Entries):
        place.error("must be a map with type", "Write 'context: {type: httpd_sys_content_t}'")
        return None
    place.check_keys(("user", "name", "type", "range"), {"role": "The role cannot be set; leave it out"})
    kind = place.at("type")
    if kind.node is None or (isinstance(kind.node, Scalar) and kind.node.value == ""):
        kind.error("a context without type")
        return None
    texts = {name: _optional_text(place.at(name)) for name in ("user", "name", "type")}
    texts["range"] = _optional_text(place.at("range"), _RANGE_FORM)
    if texts["range"] is not None and (wrong := range_problem(texts["range"])):
        place.at("range").error(wrong, _RANGE_FORM)
    if texts["type"] is None:
        return None
    return SELinuxContext(user=texts["user"] or texts["name"], type=texts["type"], range=texts["range"])


def _optional_text(place: Place, hint: str = "") -> str | None:
    return None if place.node is None else strict_text(place, hint)


def range_problem(text: str) -> str:
    """The problem of an SELinux range; empty if it is valid.

    >>> range_problem("s0-s3:c0.c5,c7"), range_problem("s2-s1"), range_problem("s0:c1,c1")
    ('', "range 's2-s1': the second sensitivity is below the first", "range 's0:c1,c1': a category is named twice")
    """
    match = _RANGE.fullmatch(text)
    if not match:
        return f"range {quoted(text)} is not of the form sensitivity[:categories]"
    if match[2] and int(match[2]) < int(match[1]):
        return f"range {quoted(text)}: the second sensitivity is below the first"
    seen: set[int] = set()
    for part in (match[3] or "").split(",") if match[3] else ():
        low, _, high = part.replace("c", "").partition(".")
        numbers = range(int(low), min(int(high or low), 1024) + 1)
        if int(low) > 1023 or int(high or 0) > 1023:
            return f"range {quoted(text)}: categories go from c0 to c1023"
        if not numbers:
            return f"range {quoted(text)}: {part} goes backwards"
        if seen & set(numbers):
            return f"range {quoted(text)}: a category is named twice"
        seen.update(numbers)
    return ""
