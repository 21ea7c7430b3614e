"""How many records of a kind the catalogue holds. CodeDeploy's own quotas, where it has them."""

from __future__ import annotations

from collections.abc import Iterator

MOST = {"application": 1_000, "group": 5_000, "instance": 10_000}
"""By kind, for the whole catalogue."""

MOST_GROUPS_OF_APPLICATION = 1_000

SIZE = "size"
"""The limit of a table as a whole: its records, compressed, must fit into one of Temporal's messages."""


def scopes(key: str) -> Iterator[str]:
    """The limited sets that a record counts in.

    >>> list(scopes("group/shop/production")), list(scopes("ssh/default"))
    (['group', 'group/shop'], [])
    """
    kind, _, name = key.partition("/")
    if kind in MOST:
        yield kind
    if kind == "group":
        yield f"group/{name.partition('/')[0]}"


def most(scope: str) -> int:
    """How many records a set may have.

    >>> most("application"), most("group/shop")
    (1000, 1000)
    """
    return MOST.get(scope, MOST_GROUPS_OF_APPLICATION)


def described(scope: str) -> str:
    """A limit in words.

    >>> described("instance")
    '10,000 instances'
    >>> described("group/shop")
    '1,000 deployment groups of the application shop'
    >>> described(SIZE)
    'the size of what is declared (1.5 MiB, compressed)'
    """
    if scope == SIZE:
        return "the size of what is declared (1.5 MiB, compressed)"
    kind, _, application = scope.partition("/")
    noun = "deployment groups" if kind == "group" else f"{kind}s"
    return f"{most(scope):,} {noun}" + (f" of the application {application}" if application else "")
