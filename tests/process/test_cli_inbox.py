"""When a request counts as whole, however its bytes are cut up."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.server_inbox import HEAD_MAX_BYTES, OVERREAD_BYTES, TRAILERS_MAX_BYTES, Inbox

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


@pytest.mark.parametrize("chunk_bytes", [500, 5_000, 1 << 30])
def test_chunks_past_the_largest_body_are_not_collected(chunk_bytes: int) -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    contents = 0
    while contents <= MAX_BODY_BYTES + OVERREAD_BYTES:
        assert not inbox.is_whole()
        inbox.add(b"%x\r\n" % chunk_bytes)
        sent = min(chunk_bytes, 6_000)
        inbox.add(b"x" * sent + (b"\r\n" if sent == chunk_bytes else b""))
        contents += sent

    assert inbox.is_whole()
    assert inbox.flaw is None


def test_small_chunks_are_collected_until_they_are_mostly_framing() -> None:
    inbox = Inbox(MAX_BODY_BYTES)
    inbox.add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_BODY_BYTES):
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
