"""The glob of `permissions`: one level, `*` for any run of characters, nothing else special.

Matched in one pass from left to right, whatever the pattern: an AppSpec must not be able to hold a worker or a host.
Plain Python 3.6 that imports nothing, so that hosts can use the same lines.
"""


def glob_matches(name: str, pattern: str) -> bool:
    """Return whether a name, as it stands below the object, matches a pattern or an item of `except`.

    >>> glob_matches("a.sh", "*.sh"), glob_matches("bin/a.sh", "*.sh"), glob_matches(".sh", "*.sh")
    (True, False, True)
    >>> glob_matches("a", "?"), glob_matches("aba", "a*a*a"), glob_matches("a" * 200, "*a" * 100 + "*b")
    (False, False, False)
    """
    if "/" in name:
        return False
    first, *parts = pattern.split("*")
    if not parts:
        return name == first
    last = parts.pop()
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in parts:  # each as far to the left as it goes leaves the most for those that follow
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
