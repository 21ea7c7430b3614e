"""How workers tell whether they use the same store: each store has a mark, and each worker shows that of its own.

Two folders of one name on two machines are not the same store, and `s3://bucket` may be the same one by another path.
"""

from __future__ import annotations

import uuid

from towline.store import Store

PREFIX = "marks/"


def mark_of(store: Store) -> str:
    """The store's mark; the first worker makes one. Where several begin together there may be several: all are good."""
    for key in store.keys(PREFIX):
        return key.removeprefix(PREFIX)
    mark = uuid.uuid4().hex[:12]
    store.put(PREFIX + mark, b"")
    return mark


def has_mark(store: Store, mark: str) -> bool:
    """Whether a mark that another worker shows is of this store."""
    return store.exists(PREFIX + mark)
