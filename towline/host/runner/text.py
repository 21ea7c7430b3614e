"""Names as bytes and as text: what paths, JSON and messages make of each other."""

import os
import sys

NAME_ENCODING = sys.getfilesystemencoding()


def is_id(text):
    """Whether `text` may be part of a path: a deployment id or a group id."""
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    if not isinstance(text, str) or not 0 < len(text) <= 128 or text[0] not in plain:
        return False
    return all(letter in plain or letter in "._-" for letter in text)


def as_name(value):
    """JSON to what `os` takes: where Python was started in an ASCII locale, text turns to escaped bytes, deeply."""
    if NAME_ENCODING.lower().replace("-", "") == "utf8":
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode(NAME_ENCODING, "surrogateescape")
    if isinstance(value, list):
        return [as_name(item) for item in value]
    if isinstance(value, dict):
        return {as_name(key): as_name(item) for key, item in value.items()}
    return value


def as_text(name):
    """A path or a message as text that any JSON reader takes: bytes that are no UTF-8 become U+FFFD."""
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    try:
        return name.encode(NAME_ENCODING, "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "replace").decode("utf-8")


def as_json_path(path):
    """A path in JSON keeps its bytes."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def from_json_path(text):
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def join(directory, name):
    """Like Ruby's File.join: slashes between the two count as one."""
    return directory.rstrip("/") + "/" + name.lstrip("/")


def absolute(path):
    """A path on a host in its plain form; a relative one is taken from `/`, the agent's working directory.

    >>> absolute("//srv/./app/"), absolute("srv")
    ('/srv/app', '/srv')
    """
    return os.path.normpath("/" + path.lstrip("/"))


def join_below(directory, name):
    """`join` where the empty path is the top of a bundle."""
    return join(directory, name) if directory else name
