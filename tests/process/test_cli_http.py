"""What the server does with requests that are malformed, slow or cut short (D-26, D-27)."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.serving import DUMMY, Server, read_answer, running

# The server alone: there is no database behind it.
pytestmark = pytest.mark.sqlite

MAX_BODY_BYTES = 100_000
HAS_FAST_PARSER = importlib.util.find_spec("gunicorn_h1c") is not None

PARSERS = [
    "python",
    pytest.param(
        "fast", marks=pytest.mark.skipif(not HAS_FAST_PARSER, reason="no parser in C here")
    ),
]


@pytest.fixture(scope="module", params=PARSERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home: Path = tmp_path_factory.mktemp("server")
    command = [
        str(DUMMY),
        "workers=1",
        "threads=4",
        f"http_parser={request.param}",
        f"max_body_bytes={MAX_BODY_BYTES}",
    ]
    with running(command, home=home) as server:
        yield server
        assert server.stop() == 0


def executed(server: Server) -> int:
    status, answer = server.get("/count")
    assert status == 200
    count: int = answer["executed"]
    return count


MALFORMED = {
    "no HTTP at all": b"garbage\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: t\n\n",
    "bare LF in a header": b"GET / HTTP/1.1\r\nHost: t\nX: 1\r\n\r\n",
    "empty lines": b"\r\n\r\n",
    "two Content-Length": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    "two different Content-Length": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    "Content-Length list": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2, 2\r\n\r\n{}",
    "Content-Length negative": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -2\r\n\r\n{}",
    "Content-Length signed": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +2\r\n\r\n{}",
    "Content-Length hex": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0x2\r\n\r\n{}",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: nonsense\r\n\r\n",
    "bad chunk size": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"zz\r\n{}\r\n0\r\n\r\n",
    "bad chunk end": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n{}XX0\r\n\r\n",
    "bad version": b"GET / HTTP/9.9\r\nHost: t\r\n\r\n",
    "no version": b"GET /\r\nHost: t\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: t\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : t\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: t\r\nX: a\0b\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: t\r\nX: a\r\n b\r\n\r\n",
    "two Host": b"GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n",
    "byte above 127 in the target": b"GET /\xff HTTP/1.1\r\nHost: t\r\n\r\n",
}


# D-27
@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused_in_json(server: Server, request_bytes: bytes) -> None:
    before = executed(server)

    status, headers, body = server.exchange(request_bytes)

    assert status == 400
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    assert headers["date"].endswith(" GMT")
    assert json.loads(body)["error"]["code"] == "invalid_request"
    assert executed(server) == before


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /%s HTTP/1.1\r\nHost: t\r\n\r\n" % (b"a" * 9_000), 414, "uri_too_long"),
        (
            b"GET / HTTP/1.1\r\nHost: t\r\nX: %s\r\n\r\n" % (b"a" * 9_000),
            431,
            "headers_too_large",
        ),
        (b"GET / HTTP/1.1\r\n%s\r\n" % (b"X: 1\r\n" * 101), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n%s\r\n" % (b"X: 1\r\n" * 300), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n%s" % (b"X: 1\r\n" * 300), 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nExpect: tea\r\n\r\n", 417, "expectation_failed"),
    ],
    ids=[
        "request line",
        "one header",
        "many headers",
        "very many headers",
        "headers without an end",
        "expectation",
    ],
)
def test_a_limit_has_its_own_code(
    server: Server, request_bytes: bytes, status: int, code: str
) -> None:
    answer = server.exchange(request_bytes)

    assert answer[0] == status
    assert json.loads(answer[2])["error"]["code"] == code


# D-27
def test_a_head_in_many_segments_is_one_request(server: Server) -> None:
    request = b"POST /a%2Fb?x=1 HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"

    status, _, body = server.exchange(*(bytes([byte]) for byte in request))

    assert status == 200
    assert json.loads(body)["raw"] == "/a%2Fb?x=1"
    assert json.loads(body)["bytes"] == 2


@pytest.mark.parametrize("size", [b"186A1", b"7FFFFFFF", b"F" * 15, b"F" * 16])
def test_a_chunk_that_is_announced_too_large_is_not_waited_for(
    server: Server, size: bytes
) -> None:
    chunks = b"Host: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n" + size + b"\r\n"

    status, headers, body = server.exchange(b"POST / HTTP/1.1\r\n" + chunks)

    # As much as tells the application that it is too large.
    assert (status, headers["connection"]) == (200, "close")
    assert json.loads(body)["bytes"] == MAX_BODY_BYTES + 1


# D-27
def test_a_chunked_body_arrives_whole(server: Server) -> None:
    status, _, body = server.exchange(
        b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3;ext=1\r\nabc\r\n",
        b"4\r\n\r\n\r\n\r\n",
        b"0\r\nX-Sum: 1\r\n\r\n",
    )

    assert status == 200
    assert json.loads(body)["bytes"] == 7


# D-27
def test_a_client_that_expects_100_gets_it_before_it_sends_the_body(server: Server) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        status, _, body = read_answer(client)

    assert status == 200
    assert json.loads(body)["bytes"] == 2


# D-25
def test_a_body_that_is_too_large_is_not_asked_for(server: Server) -> None:
    status, _, body = server.exchange(
        b"POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n\r\n"
    )

    # The application decides what to answer, from the length alone.
    assert status == 200
    assert json.loads(body)["bytes"] == 0


# D-25
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_is_too_large_is_thrown_away_so_that_the_answer_is_read(
    server: Server, framing: str
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: t\r\n"
    size = 20 * MAX_BODY_BYTES
    if framing == "length":
        body = b"Content-Length: %d\r\n\r\n%s" % (size, b"x" * size)
    else:
        chunk = b"64\r\n%s\r\n" % (b"x" * 100)
        body = b"Transfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % (chunk * (size // 100))

    with server.connect() as client:
        client.sendall(head + body)
        status, headers, answer = read_answer(client)

        # The application is shown that it is too large, and no more.
        assert status == 200
        assert json.loads(answer)["bytes"] == (0 if framing == "length" else MAX_BODY_BYTES + 1)
        assert headers["connection"] == "close"
        assert client.recv(1) == b""


# D-27
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{}",
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Le",
    ],
    ids=["length", "chunks", "head"],
)
def test_a_request_cut_short_is_not_executed(server: Server, request_bytes: bytes) -> None:
    before = executed(server)

    with server.connect() as client:
        client.sendall(request_bytes)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""

    assert executed(server) == before


def test_requests_sent_at_once_are_answered_in_order(server: Server) -> None:
    request = b"POST /%d HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"
    with server.connect() as client:
        client.sendall(b"".join(request % number for number in range(3)) + b"GET /3 HT")
        first = [json.loads(read_answer(client)[2])["path"] for _ in range(3)]
        client.sendall(b"TP/1.1\r\nHost: t\r\n\r\n")
        last = json.loads(read_answer(client)[2])["path"]

    assert [*first, last] == ["/0", "/1", "/2", "/3"]


def test_a_connection_is_kept_and_the_raw_path_is_visible(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.sendall(b"GET //tasks%2F1/?a=%20 HTTP/1.1\r\nHost: t\r\n\r\n")
            status, headers, body = read_answer(client)
            assert (status, headers["connection"]) == (200, "keep-alive")
            assert json.loads(body)["raw"] == "//tasks%2F1/?a=%20"


def test_nobody_sets_the_script_name_by_a_header(server: Server) -> None:
    status, _, body = server.exchange(b"GET /a HTTP/1.1\r\nHost: t\r\nSCRIPT_NAME: /x\r\n\r\n")

    assert status == 200
    assert json.loads(body)["path"] == "/a"


# D-26
def test_a_request_that_never_ends_is_given_up(tmp_path: Path) -> None:
    command = [str(DUMMY), "workers=1", "threads=4", "request_timeout_s=0.2"]
    with running(command, home=tmp_path) as server, server.connect() as silent:
        for part in (b"GET / HT", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n{"):
            status, headers, body = server.exchange(part)
            assert (status, headers["connection"]) == (408, "close")
            assert json.loads(body)["error"]["code"] == "request_timeout"
            assert headers["x-request-id"]

        # Who has sent nothing has asked nothing.
        assert silent.recv(1) == b""


# D-26
def test_idle_and_slow_clients_do_not_hold_up_the_others(server: Server) -> None:
    with ExitStack() as stack:
        for number in range(300):
            client = stack.enter_context(server.connect())
            if number % 3 == 1:
                client.sendall(b"GET / HT")
            elif number % 3 == 2:
                client.sendall(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n{")
        began = time.monotonic()
        for _ in range(20):
            assert server.get("/")[0] == 200
        took_s = time.monotonic() - began

    # Four threads: were one of them waiting for a slow client, this would take its timeout.
    assert took_s < 5
