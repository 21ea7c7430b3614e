"""Pages of lists. A token holds where the next page begins, and of which list it is; the server keeps nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from towline.api.errors import ApiError

PAGE = 100

T = TypeVar("T")


def page(
    items: Sequence[T],
    token: str | None,
    place: Callable[[T], Any],
    filters: object,
    *,
    size: int = PAGE,
    descending: bool = False,
) -> tuple[list[T], str | None]:
    """A page of sorted items and the token of the next one, None at the end.

    `place(item)` is what the items are sorted by, unique; `filters` is what the list was asked for: a token belongs to
    that list alone. Raises ApiError (InvalidNextTokenException).
    """
    after = place_in(token, filters)
    try:
        rest = [item for item in items if after is None or _is_behind(_plain(place(item)), after, descending)]
    except TypeError:  # a place of other types than these items have
        raise invalid_token() from None
    return first_page(rest, place, filters, size=size)


def first_page(
    items: Sequence[T], place: Callable[[T], Any], filters: object, *, size: int = PAGE
) -> tuple[list[T], str | None]:
    """The first page of items that are all behind the token's place, and the token of the next one."""
    found = list(items[:size])
    return found, _write(place(found[-1]), _digest(filters)) if len(items) > size else None


def place_in(token: str | None, filters: object) -> list[Any] | None:
    """The place of the last item before the page; None without a token. Raises ApiError."""
    return _read(token, _digest(filters)) if token else None


def _is_behind(place: list[Any], after: list[Any], descending: bool) -> bool:
    return place < after if descending else place > after


def _write(place: Any, mark: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([mark, _plain(place)]).encode()).decode()


def _read(token: str, mark: str) -> Any:
    try:
        known, after = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, binascii.Error, TypeError, RecursionError):
        raise invalid_token() from None
    if known != mark or not isinstance(after, list):
        raise invalid_token()
    return after


def _plain(place: Any) -> list[Any]:
    return list(place) if isinstance(place, tuple) else [place]


def _digest(filters: object) -> str:
    return hashlib.sha256(json.dumps(filters, sort_keys=True, default=str).encode()).hexdigest()[:16]


def invalid_token() -> ApiError:
    """The error of a token that is none, or of another list."""
    return ApiError("InvalidNextTokenException", "The specified next token is not valid.")
