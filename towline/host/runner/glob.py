"""The glob of an AppSpec's permissions: the one implementation, for hosts and for the checks before a deployment."""


def glob_matches(name, pattern):
    """Whether a name in a directory matches the agent's glob, in linear time: only `*` is special, a `/` never matches.

    >>> glob_matches("start.sh", "*.sh"), glob_matches("bin/start.sh", "*.sh"), glob_matches("a", "a*a")
    (True, False, False)
    >>> glob_matches("a", "?"), glob_matches("a" * 200, "*a" * 100 + "*b")
    (False, False)
    """
    if "/" in name or not isinstance(pattern, str):
        return False
    first, *middle = pattern.split("*")
    if not middle:
        return name == pattern
    last = middle.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:  # the leftmost place of each part leaves most for the next: no other has to be tried
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
