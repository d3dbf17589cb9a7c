from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.lifecycle.linear.signature import (
    delivery_key,
    is_fresh,
    is_signed,
    sent_at_ms,
    sign,
)

BODY = b'{"action":"update","type":"Issue"}'
NOW_MS = 1_700_000_000_000


def test_the_signature_is_the_hmac_of_the_raw_bytes() -> None:
    expected = hmac.new(b"whsec", BODY, hashlib.sha256).hexdigest()

    assert sign(BODY, "whsec") == expected
    assert is_signed(BODY, expected, ["whsec"])


def test_either_of_two_secrets_signs() -> None:
    for secret in ("old", "new"):
        assert is_signed(BODY, sign(BODY, secret), ["old", "new"])
    assert not is_signed(BODY, sign(BODY, "older"), ["old", "new"])
    assert not is_signed(BODY, sign(BODY, "old"), [])


@given(at=st.integers(0, len(BODY) - 1), mask=st.integers(1, 255))
def test_no_byte_may_change(at: int, mask: int) -> None:
    changed = bytearray(BODY)
    changed[at] ^= mask

    assert not is_signed(bytes(changed), sign(BODY, "s"), ["s"])


@pytest.mark.parametrize(
    "signature",
    [None, "", "abc", "0" * 64, sign(BODY, "s").upper(), sign(BODY, "s") + " ", "é" * 64],
)
def test_anything_else_is_no_signature(signature: str | None) -> None:
    assert not is_signed(BODY, signature, ["s"])


def test_a_webhook_may_be_as_old_as_the_window_and_no_older() -> None:
    for skew_ms, fresh in [(0, True), (60_000, True), (60_001, False)]:
        for stamp_ms in (NOW_MS - skew_ms, NOW_MS + skew_ms):
            assert is_fresh(stamp_ms, now_ms=NOW_MS, window_ms=60_000) is fresh
    assert not is_fresh(None, now_ms=NOW_MS, window_ms=60_000)


def test_the_signed_time_goes_before_the_one_in_the_header() -> None:
    assert sent_at_ms({"webhookTimestamp": 1}, "2") == 1
    assert sent_at_ms({}, "2") == 2


@pytest.mark.parametrize("stamp", ["1", 1.5, True, [], {}])
def test_a_time_that_is_no_integer_is_none_whatever_the_header_says(stamp: object) -> None:
    assert sent_at_ms({"webhookTimestamp": stamp}, "2") is None


@pytest.mark.parametrize("header", [None, "", "now", "-1", "1e3", "١", "9" * 16])
def test_a_header_that_is_no_time_is_none(header: str | None) -> None:
    assert sent_at_ms({}, header) is None


def test_a_delivery_without_an_id_is_known_by_its_body() -> None:
    assert delivery_key(BODY, "7b1e") == "7b1e"
    assert delivery_key(BODY, None) == f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    for odd in ("", "two words", "é", "x" * 101):
        assert delivery_key(BODY, odd) == delivery_key(BODY, None)
    assert delivery_key(BODY, "x" * 100) == "x" * 100
