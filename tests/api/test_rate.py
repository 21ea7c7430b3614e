"""How many requests a second a key may send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from towline.api.rate import RateLimit


def test_a_second_without_requests_allows_all_of_them_at_once_and_no_more() -> None:
    now = 0.0
    rate = RateLimit(3, lambda: now)
    assert [rate.allows("a") for _ in range(4)] == [True, True, True, False]
    assert rate.allows("b"), "another key has its own"
    now = 0.5
    assert [rate.allows("a") for _ in range(2)] == [True, False]
    now = 60.0
    assert [rate.allows("a") for _ in range(4)] == [True, True, True, False]


@given(st.integers(1, 20), st.lists(st.floats(0, 0.3), max_size=200))
def test_no_stretch_of_time_has_more_than_a_second_worth_above_its_share(limit: int, gaps: list[float]) -> None:
    now = 0.0
    rate = RateLimit(limit, lambda: now)
    allowed = []
    for gap in gaps:
        now += gap
        if rate.allows("a"):
            allowed.append(now)
    for first, begin in enumerate(allowed):
        assert all(n - first + 1 <= limit * (1 + end - begin) + 1e-6 for n, end in enumerate(allowed) if n >= first)
