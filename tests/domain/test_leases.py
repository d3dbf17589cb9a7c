"""Who may act on a lease, and how far a heartbeat reaches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.errors import LeaseExpired, Unauthorized
from tickets.tracker.domain.leases import (
    HEARTBEAT_FLOOR_MS,
    check_usable,
    extended_until_ms,
)

MINE, OTHER = b"m" * 32, b"o" * 32
NOW_MS = 1_000

milliseconds = st.integers(0, 2**53)


def lease(
    *, ends_ms: int = NOW_MS + 1, status: str = "active", reason: str | None = None
) -> dict[str, Any]:
    return {
        "token_hash": MINE,
        "lease_status": status,
        "expires_at_ms": ends_ms,
        "dead_letter_reason": reason,
    }


@pytest.mark.parametrize("token_hash", [MINE, None])
def test_holder_and_operator_may_act_until_the_last_millisecond(
    token_hash: bytes | None,
) -> None:
    check_usable(lease(), token_hash=token_hash, now_ms=NOW_MS)


@pytest.mark.parametrize("token_hash", [MINE, None])
@pytest.mark.parametrize(
    "over", [lease(ends_ms=NOW_MS), lease(status="expired"), lease(status="revoked")]
)
def test_nobody_may_act_on_a_lease_that_is_over(
    token_hash: bytes | None, over: dict[str, Any]
) -> None:
    with pytest.raises(LeaseExpired):
        check_usable(over, token_hash=token_hash, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("over", "details"),
    [
        (lease(ends_ms=NOW_MS, reason="cancelled"), None),
        (lease(status="revoked", reason="cancelled"), {"reason": "cancelled"}),
        (lease(status="revoked"), {"reason": "taken_away"}),
    ],
)
def test_whose_lease_was_taken_away_is_told_why(
    over: dict[str, Any], details: dict[str, str] | None
) -> None:
    with pytest.raises(LeaseExpired) as raised:
        check_usable(over, token_hash=MINE, now_ms=NOW_MS)
    assert raised.value.details == details


@pytest.mark.parametrize("any_lease", [lease(), lease(ends_ms=NOW_MS), lease(status="revoked")])
def test_a_stranger_is_not_told_whether_it_is_over(any_lease: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        check_usable(any_lease, token_hash=OTHER, now_ms=NOW_MS)


# D-04: the ttl is remembered, five minutes are the least
@given(ttl_ms=milliseconds, left_ms=milliseconds)
def test_a_heartbeat_reaches_five_minutes_or_the_ttl_and_never_back(
    ttl_ms: int, left_ms: int
) -> None:
    end_ms = extended_until_ms(
        ttl_ms=ttl_ms, expires_at_ms=NOW_MS + left_ms, asked_ttl_ms=None, now_ms=NOW_MS
    )

    assert end_ms - NOW_MS == max(ttl_ms, left_ms, HEARTBEAT_FLOOR_MS)


@given(ttl_ms=milliseconds, left_ms=milliseconds, asked_ms=st.integers(1, 2**40))
def test_what_is_asked_for_is_exact(ttl_ms: int, left_ms: int, asked_ms: int) -> None:
    end_ms = extended_until_ms(
        ttl_ms=ttl_ms, expires_at_ms=NOW_MS + left_ms, asked_ttl_ms=asked_ms, now_ms=NOW_MS
    )

    assert end_ms == NOW_MS + asked_ms
