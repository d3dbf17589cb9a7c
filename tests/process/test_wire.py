"""Bytes that are nearly HTTP, on a socket: refused or answered, and the service goes on.

Each client sends all it has and then no more, so that the server ends the conversation, and
what came back can be read to its end: whole answers, one after the other, and nothing else.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.budgets import tried
from tests.fuzz.odd import broken
from tests.process.clients import Client, tickets, workers_of
from tests.process.serving import START_S, Server
from tests.process.test_cli_http import PARSERS
from tests.process.test_metrics import scraped

SMUGGLED = (
    b"PUT /store/smuggled/k HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n" + b'{"value":1}'
)
CHUNKED = (
    b"PUT /store/n/k HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'4;a="b"\r\n{"va\r\n7\r\nlue":1}\r\n0\r\nX-Sum: 1\r\n\r\n'
)
EXPECTING = (
    b"POST /leases/claim HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
    b'Content-Length: 36\r\n\r\n{"agent_id":"a","agent_role":"none"}'
)
COMPRESSED = (
    b"POST /v1/traces HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\n"
    b"Idempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}"
)
REQUESTS = [
    b"GET /tasks?limit=1 HTTP/1.1\r\nHost: t\r\n\r\n",
    b"GET /store/n%2Fm/k HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n",
    b'PUT /store/n/k HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n{"value":1}',
    CHUNKED,
    EXPECTING,
    COMPRESSED,
]
PIECES = st.one_of(
    st.binary(max_size=3),
    st.sampled_from(
        [
            *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b"\x0b"),
            *(b"0\r\n\r\n", b"-1", b"0x", b"9" * 30, b"ffffffffffffffff", b"%00", b"\xff"),
            *(
                b"Transfer-Encoding: chunked\r\n",
                b"Content-Length: 5\r\n",
                b"Connection: close\r\n",
            ),
            *(b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n"),
            *(b"\r\n folded", b"HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"http://x/"),
            b"X: " + b"y" * 9_000 + b"\r\n",
            b"X: 1\r\n" * 120,
            b"X_Y: 1\r\n",
            b"a" * 9_000,
            CHUNKED,
        ]
    ),
)
STREAMS = st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=3).map(b"".join)
# Each leaves in doubt where the body ends, which two servers in a row would decide differently.
AMBIGUOUS = [
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n",
    b"Content-Length: 5\r\nContent-Length: %d\r\n",
    b"Content-Length: %d\r\ncontent-length: 0\r\n",
    b"Content-Length: %d, 5\r\n",
    b"Content-Length: +%d\r\n",
    b"Content-Length : %d\r\n",
    b"Content-Length: 0x%x\r\n",
    b"Content-Length: %d.0\r\n",
    b"Content-Length: -%d\r\n",
    b"Content-Length: 1 %d\r\n",
    b"X: y\nContent-Length: %d\r\n",
    b"X: y\r\n Content-Length: %d\r\n",
    b"Content-Length: 0\r\nTransfer-Encoding: identity, chunked\r\nX: %d\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nX: %d\r\n",
    b"Transfer-Encoding: xchunked\r\nX: %d\r\n",
    b"Transfer-Encoding: chunked, gzip\r\nX: %d\r\n",
    b"Transfer-Encoding : chunked\r\nX: %d\r\n",
    b"Transfer-Encoding:\x0bchunked\r\nX: %d\r\n",
    b'Transfer-Encoding: "chunked"\r\nX: %d\r\n',
]


@pytest.fixture(scope="module", params=PARSERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("server")
    flags = ("--workers", "1", "--threads", "4", "--http-parser", request.param)
    with tickets(home, *flags) as server:
        with Client(server) as client:
            client.get("/health")
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.log


@pytest.fixture(autouse=True)
def goes_on(server: Server) -> Iterator[None]:
    """Let every test end with the process it began with, which answers as before."""
    before = workers_of(server)
    yield
    with Client(server) as client:
        client.post("/artifacts", {"kind": "k", "uri": "u"}, status=201)
        assert scraped(client)["tickets_worker_starts_total"] == 1
    assert workers_of(server) == before


def conversation(server: Server, sent: bytes) -> list[tuple[int, Any]]:
    """Send bytes and nothing more; return status and document of each answer."""
    received = b""
    with server.connect() as client:
        client.settimeout(START_S)
        # A client that is refused early is sometimes cut off.
        with suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while data := client.recv(65_536):
                received += data
    return list(answers(received))


def answers(received: bytes) -> Iterator[tuple[int, Any]]:
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first[:9] in ("HTTP/1.0 ", "HTTP/1.1 "), received
        assert end, received
        shown = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in shown}
        size = int(headers.get("content-length", "0"))
        assert len(rest) >= size, received
        if first[9:12] != "100":
            yield int(first[9:12]), json.loads(rest[:size]) if size else None
        received = rest[size:]


def check(found: list[tuple[int, Any]]) -> None:
    for status, document in found:
        assert status < 500, found
        if status >= 400:
            assert set(document["error"]) >= {"code", "message"}


def test_the_requests_that_are_broken_here_are_sound(server: Server) -> None:
    found = conversation(server, b"".join(REQUESTS))

    check(found)
    assert [status for status, _ in found] == [200, 404, 204, 204, 204, 400]


@tried(200, drill=1_200)
@given(data=st.data())
def test_broken_requests_are_refused_or_answered(server: Server, data: Any) -> None:
    check(conversation(server, data.draw(broken(data.draw(STREAMS), piece=PIECES))))


@tried(50, drill=200)
@given(st.binary(max_size=200))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
def test_what_is_no_http_at_all_is_refused_or_cut_off(server: Server, sent: bytes) -> None:
    found = conversation(server, sent)

    check(found)
    assert all(status == 400 for status, _ in found)


@tried(100, drill=400)
@given(
    line=st.sampled_from(AMBIGUOUS),
    before=st.sampled_from([b"", b"X: 1\r\n", b"Connection: keep-alive\r\n"]),
    body=st.sampled_from([b"0\r\n\r\n", b"", b"5\r\nabcde\r\n0\r\n\r\n"]),
    first=st.sampled_from([b"", *REQUESTS[:3]]),
)
def test_nothing_is_smuggled_behind_a_body_of_doubtful_length(
    server: Server, line: bytes, before: bytes, body: bytes, first: bytes
) -> None:
    head = b"POST /tasks HTTP/1.1\r\nHost: t\r\n" + before + line % len(body + SMUGGLED)
    with Client(server) as client:
        # Hypothesis tries the constants of this file, so that other tests send it openly.
        client.send("DELETE", "/store/smuggled/k")

    found = conversation(server, first + head + b"\r\n" + body + SMUGGLED)

    check(found)
    status, document = found[-1]
    # By the server: the application would have found a body that is no JSON.
    assert (status, document["error"]["code"]) == (400, "invalid_request")
    assert len(found) == (2 if first else 1)
    with Client(server) as client:
        assert client.get("/store/smuggled") == []
