from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tickets.tracker.domain.retry import (
    MAX_DELAY_MS,
    NEVER_AGAIN_MS,
    Backoff,
    DeadLetter,
    Retry,
    RetryPolicy,
    is_exhausted,
    next_step,
    retry_delay_ms,
)

UNITS = st.floats(0, 1, exclude_max=True)
BACKOFFS = st.builds(
    Backoff,
    factor=st.floats(1, 1000),
    max_delay_ms=st.none() | st.integers(0, 2**63 - 1),
    jitter=st.floats(0, 1),
)


def test_without_max_attempts_it_never_gives_up() -> None:
    assert next_step(RetryPolicy(), failed_attempts=10**6, random_unit=0) == Retry(0)


def test_the_last_attempt_is_still_made_and_the_next_is_not() -> None:
    policy = RetryPolicy(max_attempts=3, retry_delay_ms=400)

    assert next_step(policy, failed_attempts=2, random_unit=0) == Retry(400)
    assert next_step(policy, failed_attempts=3, random_unit=0) == DeadLetter()


def test_fewer_than_one_attempt_counts_as_one() -> None:  # D-11
    for max_attempts in (1, 0, -5):
        policy = RetryPolicy(max_attempts=max_attempts)

        assert not is_exhausted(policy, failed_attempts=0)
        assert is_exhausted(policy, failed_attempts=1)


def test_the_delay_is_constant_without_backoff() -> None:
    policy = RetryPolicy(retry_delay_ms=250)

    delays = {retry_delay_ms(policy, failed_attempts=n, random_unit=0.9) for n in range(50)}

    assert delays == {250}


def test_the_nth_retry_waits_factor_to_the_n_minus_1() -> None:
    policy = RetryPolicy(retry_delay_ms=100, backoff=Backoff(2.0, None, 0.0))

    delays = [retry_delay_ms(policy, failed_attempts=n, random_unit=0.7) for n in (1, 2, 3, 4)]

    assert delays == [100, 200, 400, 800]


def test_the_maximum_holds_from_the_first_retry_on() -> None:
    policy = RetryPolicy(retry_delay_ms=100, backoff=Backoff(3.0, 250, 0.0))

    delays = [retry_delay_ms(policy, failed_attempts=n, random_unit=0) for n in (1, 2, 3)]

    assert delays == [100, 250, 250]


def test_jitter_spreads_to_both_sides() -> None:
    policy = RetryPolicy(retry_delay_ms=1000, backoff=Backoff(2.0, None, 0.2))

    delays = [retry_delay_ms(policy, failed_attempts=1, random_unit=u) for u in (0, 0.5, 1)]

    assert delays == [800, 1000, 1200]


def test_jitter_at_the_maximum_spreads_below_it() -> None:
    policy = RetryPolicy(retry_delay_ms=1000, backoff=Backoff(2.0, 1000, 0.2))

    delays = [retry_delay_ms(policy, failed_attempts=9, random_unit=u) for u in (0, 0.5, 1)]

    assert delays == [800, 900, 1000]


def test_growth_beyond_any_float_ends_at_the_longest_delay() -> None:  # D-11
    policy = RetryPolicy(retry_delay_ms=2**63 - 1, backoff=Backoff(1000.0))

    delay_ms = retry_delay_ms(policy, failed_attempts=2**31, random_unit=0)

    assert delay_ms == MAX_DELAY_MS


def test_no_delay_stays_none_however_often_it_fails() -> None:
    policy = RetryPolicy(retry_delay_ms=0, backoff=Backoff(1000.0, None, 1.0))

    assert retry_delay_ms(policy, failed_attempts=2**31, random_unit=0.9) == 0


def test_a_negative_delay_is_no_delay() -> None:  # D-11
    policy = RetryPolicy(retry_delay_ms=-5, backoff=Backoff(2.0, -3, 0.5))

    assert retry_delay_ms(policy, failed_attempts=3, random_unit=0) == 0


def test_never_fits_a_signed_64_bit_integer() -> None:
    assert MAX_DELAY_MS < NEVER_AGAIN_MS < 2**63


@given(st.integers(), BACKOFFS | st.none(), st.integers(0, 10**9), UNITS)
def test_a_delay_is_within_its_limits(
    delay_ms: Any, backoff: Any, failed_attempts: Any, unit: Any
) -> None:
    policy = RetryPolicy(retry_delay_ms=delay_ms, backoff=backoff)

    waited_ms = retry_delay_ms(policy, failed_attempts=failed_attempts, random_unit=unit)

    assert isinstance(waited_ms, int)
    assert 0 <= waited_ms <= MAX_DELAY_MS
    if backoff is not None and backoff.max_delay_ms is not None and delay_ms > 0:
        assert waited_ms <= backoff.max_delay_ms


@given(st.integers(0, 10**12), BACKOFFS, st.integers(1, 200), UNITS)
def test_a_later_retry_never_waits_less_for_the_same_luck(
    delay_ms: Any, backoff: Any, attempts: Any, unit: Any
) -> None:
    policy = RetryPolicy(retry_delay_ms=delay_ms, backoff=backoff)

    earlier = retry_delay_ms(policy, failed_attempts=attempts, random_unit=unit)
    later = retry_delay_ms(policy, failed_attempts=attempts + 1, random_unit=unit)

    # Near the maximum the band is cut off above, so with jitter the order may turn there.
    if backoff.jitter == 0:
        assert earlier <= later
    else:
        assert later >= earlier * (1 - backoff.jitter) / (1 + backoff.jitter) - 1
