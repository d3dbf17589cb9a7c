"""When a request counts as whole, however its bytes are cut up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.server_inbox import HEAD_MAX_BYTES, HEAD_MAX_LINES, TRAILERS_MAX_BYTES, Inbox

# The server alone: there is no database behind it.
pytestmark = pytest.mark.sqlite

MAX_BODY_BYTES = 1_000

WHOLE = [
    b"GET / HTTP/1.1\r\nHost: t\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n",
    b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n12345",
    b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length:1000\r\n\r\n" + b"x" * 1_000,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n4;a\r\n\r\n\r\n\r\n0\r\nX: 1\r\n\r\n",
]
# Nothing is waited for once it is clear that the request will be refused.
REFUSED_EARLY = [
    b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
    b"GET / HTTP/1.1\n",
    b"x" * (HEAD_MAX_BYTES + 1),
]


@given(request=st.sampled_from(WHOLE), cuts=st.lists(st.integers(1, 2_000), max_size=8))
def test_a_request_is_whole_at_its_last_byte_and_not_before(
    request: bytes, cuts: list[int]
) -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    places = sorted({0, *(cut % len(request) for cut in cuts), len(request)})
    for start, end in itertools.pairwise(places):
        assert not inbox.is_whole()
        inbox.add(request[start:end])

    assert inbox.is_whole()
    assert inbox.flaw is None
    assert inbox.take() == request
    assert not inbox.is_whole()


@pytest.mark.parametrize("request_bytes", REFUSED_EARLY)
def test_what_will_be_refused_is_not_waited_for(request_bytes: bytes) -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(request_bytes)

    assert inbox.is_whole()


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "size",
    [b"3e9", b"7FFFFFFF", b"F" * 15, b"F" * 16, b"f" * 8_000, b"00000000000000000003e9;x"],
)
def test_a_chunk_past_the_largest_body_is_not_waited_for(size: bytes) -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(CHUNKED + size)
    assert not inbox.is_whole()
    inbox.add(b"\r\n")

    assert inbox.is_whole()
    assert inbox.is_oversized
    assert inbox.flaw is None


def test_chunks_may_hold_the_largest_body_together_and_no_byte_more() -> None:
    half = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(CHUNKED + 2 * half)
    assert not inbox.is_whole()
    inbox.add(b"0\r\n\r\n")
    assert inbox.is_whole()
    assert not inbox.is_oversized
    inbox.take()

    inbox.add(CHUNKED + 2 * half + b"1\r\n")

    assert inbox.is_whole()
    assert inbox.is_oversized


def test_that_a_body_is_too_large_is_known_until_the_next_request() -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(CHUNKED + b"FFFF\r\n")
    assert inbox.is_whole()
    inbox.take()
    assert inbox.is_oversized

    inbox.add(CHUNKED + b"0\r\n\r\n")

    assert inbox.is_whole()
    assert not inbox.is_oversized


def test_more_headers_than_any_parser_takes_are_not_collected() -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * (HEAD_MAX_LINES - 1))
    assert not inbox.is_whole()
    inbox.add(b"X: 1\r\n")

    assert inbox.is_whole()
    assert inbox.is_crowded


def test_small_chunks_are_collected_until_they_are_mostly_framing() -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_BODY_BYTES - 10):
        inbox.add(b"1\r\nx\r\n")
        assert not inbox.is_whole()
    for _ in range(10):
        inbox.add(b"0" * 12 + b"1;" + b"x" * 8_000 + b"\r\nx\r\n")
        inbox.is_whole()
    inbox.add(b"1")

    assert inbox.is_whole()
    assert inbox.flaw is not None


def test_trailers_without_an_end_are_not_collected() -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    inbox.add(b"X: 1\r\n" * (TRAILERS_MAX_BYTES // 7))
    assert not inbox.is_whole()
    inbox.add(b"X: 1\r\n" * TRAILERS_MAX_BYTES)

    assert inbox.is_whole()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nexpect:100-Continue\r\n\r\n", True),
        (b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nX-Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", False),
    ],
)
def test_100_is_due_once_and_only_for_a_body_that_is_wanted(
    head: bytes, *, expected: bool
) -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(head)
    inbox.is_whole()

    assert inbox.expects_continue() is expected
    assert inbox.expects_continue() is False
