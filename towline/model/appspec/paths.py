"""Checks paths and names in an AppSpec as written, without bundle or host."""

from __future__ import annotations

import posixpath
import re

from towline.model.appspec.fields import Place
from towline.model.bundle.listing import relative
from towline.model.visible import quoted
from towline.model.yaml.quoting import yaml_text

_TEMPLATES = re.compile(
    r"\$[A-Za-z_]\w{0,100}|\$\{[^}]{0,100}\}?|\$\([^)]{0,100}\)?|`[^`]{0,100}`|<%[^>]{0,100}>?|\{\{[^}]{0,100}\}{0,2}|\{%|%[A-Za-z_]\w{0,100}%|__[A-Z][A-Z0-9_]{0,100}__"
)
_WINDOWS = re.compile(r"[A-Za-z]:(?=[\\/])|\\(?=[\w.])")
_WEB_ROOT = re.compile(
    r"(?:/.*)?/(?:htdocs|public_html|wwwroot|webroot|public)|/var/www|/var/www/html(?:/.*)?|/usr/share/nginx/html(?:/.*)?"
)


def warn_of_text(place: Place, text: str) -> bool:
    """Warns of suspicious content in a path or a name; False, with an error, if it can never be valid."""
    if "\0" in text:
        place.error(f"{quoted(text)} has a zero byte in it", f"Write '{place.name}: {yaml_text(_plain(text))}'")
        return False
    if text.endswith("\n"):
        place.warn("the value ends with a line end, and so does the path", "Use >- or quotes in place of | or >")
    elif not text.isprintable():
        rule = f"{quoted(text)} has a character in it that cannot be seen"
        place.warn(rule, f"Write '{place.name}: {yaml_text(_plain(text))}'")
    elif text != text.strip():
        rule = f"{quoted(text)} begins or ends with a space, and so does the path"
        place.warn(rule, f"Write '{place.name}: {yaml_text(text.strip())}'")
    if template := _TEMPLATES.search(text):
        rule = f"{quoted(template[0])} is taken literally: neither variables nor templates are filled in"
        place.warn(rule, "Write what it stands for, or fill it in before the bundle is made")
    return True


def warn_of_place(place: Place, text: str) -> bool:
    """Warns of a path on hosts (`destination`, `object`) that is not absolute; False if that is an error."""
    if not warn_of_text(place, text):
        return False
    if text.startswith("~"):
        user, _, rest = text[1:].partition("/")
        home = f"/home/{user}" if user else "/root"
        whole = posixpath.normpath(f"{home}/{rest}")
        rule = f"{quoted(text)}: no home directory is put in place of '~'"
        place.refuse(rule, f"Write the whole path, such as '{place.name}: {yaml_text(whole)}'")
    elif _WINDOWS.match(text):
        rule = f"{quoted(text)} is a path of Windows, and taken literally: it has no meaning on Linux"
        place.warn(rule, f"Write '{place.name}: {yaml_text(_on_linux(text))}' if that is meant")
    elif not text.startswith("/") and not _TEMPLATES.match(text):
        rule = f"{quoted(text)} is not absolute: it is taken from the agent's working directory, /"
        place.warn(rule, f"Write '{place.name}: {yaml_text('/' + relative(text.strip()))}' if that is meant")
    return True


def warn_of_source(place: Place, text: str) -> bool:
    """Warns of a source that is not a plain path in the bundle; False if that is an error."""
    if not warn_of_text(place, text):
        return False
    if relative(text).startswith("../.."):  # above what this deployment has on a host
        within = relative(text).replace("../", "").removesuffix("..")
        rule = f"{quoted(text)} leads out of the bundle"
        place.refuse(rule, f"Name what is in the bundle, as in '{place.name}: {yaml_text(within or '/')}'")
    elif wildcard := re.search(r"[*?]", text):
        folder = posixpath.dirname(text[: wildcard.start()] + "x")
        rule = f"{quoted(text)} is taken literally: there are no wildcards in source"
        place.warn(rule, f"Name the directory: '{place.name}: {yaml_text(folder or '/')}'")
    elif _WINDOWS.search(text):
        rule = f"{quoted(text)} is a path of Windows, and taken literally: '\\' is part of a name on Linux"
        place.warn(rule, f"Write '{place.name}: {yaml_text(_on_linux(text).lstrip('/'))}'")
    return True


def warn_of_web_root(place: Place, source: str, destination: str) -> None:
    """Warns if the whole bundle is installed into a web root, where it would be public."""
    if relative(source) == "" and _WEB_ROOT.fullmatch(posixpath.normpath(destination)):
        rule = f"the whole bundle, its AppSpec and scripts too, goes to {destination}, which looks like a web root"
        place.warn(rule, "Keep what is served in a directory of its own, and name that as source")


def _plain(text: str) -> str:
    return "".join(" " if one.isspace() else one for one in text if one.isprintable() or one.isspace()).strip()


def _on_linux(text: str) -> str:
    return "/" + re.sub(r"^[A-Za-z]:", "", text).replace("\\", "/").lstrip("/")
