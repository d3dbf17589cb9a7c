from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.lifecycle.linear.pace import (
    BREAKER_PUSHES,
    MAX_DELAY_MS,
    delay_ms,
    is_looping,
    limited_until_ms,
    merged,
)

NOW_MS = 1_700_000_000_000


def test_delays_double_from_one_second_to_five_minutes() -> None:
    plain = [delay_ms(attempts, random_unit=0.5) for attempts in range(1, 12)]

    assert plain[:9] == [1_000 * 2**n for n in range(9)]
    assert plain[9:] == [MAX_DELAY_MS, MAX_DELAY_MS]


@given(attempts=st.integers(1, 10_000), unit=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_spread_by_a_fifth_and_no_more(attempts: int, unit: float) -> None:
    middle = delay_ms(attempts, random_unit=0.5)

    assert 0.8 * middle - 1 <= delay_ms(attempts, random_unit=unit) <= 1.2 * middle + 1


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"retry-after": "30"}, 30_000),
        ({"retry-after": "0"}, 1_000),
        ({"retry-after": "30", "x-ratelimit-requests-reset": str(NOW_MS + 90_000)}, 30_000),
        ({"x-ratelimit-requests-reset": str(NOW_MS + 30_000)}, 30_000),
        ({"x-ratelimit-requests-reset": str(NOW_MS // 1_000 + 30)}, 30_000),
        ({"x-ratelimit-complexity-reset": str(NOW_MS + 45_000)}, 45_000),
        (
            {
                "x-ratelimit-requests-reset": str(NOW_MS + 30_000),
                "x-ratelimit-complexity-reset": str(NOW_MS + 45_000),
            },
            45_000,
        ),
        ({}, 60_000),
        ({"retry-after": "soon"}, 60_000),
        ({"retry-after": "nan"}, 60_000),
        ({"retry-after": "inf"}, 60_000),
        ({"retry-after": "1e9"}, 3_600_000),
        ({"x-ratelimit-requests-reset": str(NOW_MS - 5)}, 1_000),
    ],
)
def test_how_long_a_limit_lasts(headers: dict[str, str], wait_ms: int) -> None:
    assert limited_until_ms(headers, now_ms=NOW_MS) == NOW_MS + wait_ms


@given(st.dictionaries(st.just("retry-after"), st.text(max_size=30), max_size=1))
def test_no_header_stops_the_queue_for_longer_than_an_hour(headers: dict[str, str]) -> None:
    until_ms = limited_until_ms(headers, now_ms=NOW_MS)

    assert NOW_MS + 1_000 <= until_ms <= NOW_MS + 3_600_000


def test_ten_pushes_in_a_minute_are_allowed_and_the_eleventh_is_a_loop() -> None:
    sent = [NOW_MS - 59_999] * (BREAKER_PUSHES - 1)

    assert not is_looping(sent, now_ms=NOW_MS)
    assert not is_looping([*sent, NOW_MS - 60_000], now_ms=NOW_MS)
    assert is_looping([*sent, NOW_MS], now_ms=NOW_MS)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers()), max_size=6))
def test_merged_updates_say_what_they_would_say_one_after_the_other(
    updates: list[dict[str, int]],
) -> None:
    together: dict[str, int] = {}
    issue: dict[str, int] = {}
    for update in updates:
        together = merged(together, update)
        issue.update(update)

    assert together == issue
