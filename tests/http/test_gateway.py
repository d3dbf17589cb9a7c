from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tickets.server_gateway import BadAnswer, Caller, Gateway

Headers = list[tuple[str, str]]


class Sent:
    """A request as the parser leaves it."""

    def __init__(self, method: str = "GET", headers: Headers | None = None) -> None:
        self.method = method
        self.uri = "/tasks/a%2Fb?x=1"
        self.path = "/tasks/a%2Fb"
        self.query = "x=1"
        self.version = (1, 1)
        self.headers = headers or []


@pytest.fixture
def caller() -> Iterator[Caller]:
    with socket.socket() as sock:
        yield Caller(sock, ("192.0.2.7", 50_000), ("192.0.2.1", 7700))


def answering(status: str, headers: Headers, parts: Iterable[bytes]) -> Any:
    def application(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, headers)
        return parts

    return Gateway(application, is_multiprocess=True)


def ask(gateway: Gateway, caller: Caller, request: Sent | None = None) -> tuple[str, bytes]:
    pieces, _ = gateway.ask(request or Sent(), io.BytesIO(), caller, closes=lambda: False)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    return head.decode(), body


def test_an_application_sees_what_was_asked_and_by_whom(caller: Caller) -> None:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    headers = [
        ("HOST", "tickets"),
        ("CONTENT-TYPE", "text/plain"),
        ("CONTENT-LENGTH", "3"),
        ("X-REQUEST-ID", "one"),
        ("X-MANY", "a"),
        ("X-MANY", "b"),
    ]
    body = io.BytesIO(b"abc")
    request = Sent("POST", headers)
    Gateway(application, is_multiprocess=False).ask(request, body, caller, closes=bool)

    assert seen.pop("wsgi.errors").writable()
    assert seen == {
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/tasks/a%2Fb?x=1",
        "PATH_INFO": "/tasks/a/b",
        "QUERY_STRING": "x=1",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "192.0.2.1",
        "SERVER_PORT": "7700",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50000",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "tickets",
        "HTTP_X_REQUEST_ID": "one",
        "HTTP_X_MANY": "a,b",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "gunicorn.socket": caller.sock,
    }


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("http://tickets:7700/tasks/a%2Fb?x=http://y/z", "/tasks/a%2Fb?x=http://y/z"),
        ("HTTPS://[::1]//tasks", "//tasks"),
        ("http://tickets", "/"),
        ("http://tickets?x=1", "/?x=1"),
        ("/http://tickets/tasks", "/http://tickets/tasks"),
        ("//tickets/tasks", "//tickets/tasks"),
        ("*", "*"),
    ],
)
def test_a_target_may_name_the_host_as_well(caller: Caller, target: str, seen: str) -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["RAW_URI"].encode()]

    request = Sent()
    request.uri = target

    assert ask(Gateway(application, is_multiprocess=False), caller, request)[1] == seen.encode()


def test_the_length_is_that_of_the_body_whatever_the_application_says(caller: Caller) -> None:
    gateway = answering("200 OK", [("content-length", "9"), ("X-A", "1")], [b"ab", b"c"])

    head, body = ask(gateway, caller)

    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert lines[1].startswith("Date: ")
    assert lines[1].endswith(" GMT")
    assert lines[2:] == ["Connection: keep-alive", "X-A: 1", "Content-Length: 3"]
    assert body == b"abc"


@pytest.mark.parametrize(
    ("method", "status", "is_length_kept"),
    [
        ("HEAD", "200 OK", True),
        ("GET", "304 Not Modified", True),
        ("GET", "204 No Content", False),
        ("HEAD", "204 No Content", False),
    ],
)
def test_an_answer_without_a_body_has_none(
    caller: Caller, method: str, status: str, *, is_length_kept: bool
) -> None:
    # What a GET would be answered with; where there is never anything, no length either.
    headers = [("Content-Length", "7"), ("X-A", "1")]

    head, body = ask(answering(status, headers, [b"a body"]), caller, Sent(method))

    assert body == b""
    assert ("\r\nContent-Length: 7" in head) == is_length_kept
    assert head.count("Content-Length") == is_length_kept
    assert "X-A: 1" in head


def test_a_client_of_http_1_0_is_answered_in_that(caller: Caller) -> None:
    request = Sent()
    request.version = (1, 0)
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    head, _ = ask(Gateway(application, is_multiprocess=True), caller, request)

    assert head.startswith("HTTP/1.0 200 OK\r\n")
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_the_date_is_that_of_the_second(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = answering("200 OK", [], [b""])
    dates = []
    for now_s in (9.9, 10.0, 10.9):
        monkeypatch.setattr("tickets.server_gateway.time.time", lambda now_s=now_s: now_s)
        dates.append(ask(gateway, caller)[0].split("\r\n")[1])

    assert dates == [
        "Date: Thu, 01 Jan 1970 00:00:09 GMT",
        "Date: Thu, 01 Jan 1970 00:00:10 GMT",
        "Date: Thu, 01 Jan 1970 00:00:10 GMT",
    ]


def test_an_application_that_fails_half_way_begins_its_answer_anew(caller: Caller) -> None:
    def application(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("X-A", "1")])
        start_response("500 Internal Server Error", [], (LookupError, LookupError(), None))
        return [b"x"]

    head, body = ask(Gateway(application, is_multiprocess=True), caller)

    assert head.startswith("HTTP/1.1 500 ")
    assert "X-A" not in head
    assert body == b"x"


def test_an_answer_that_breaks_off_is_closed_and_not_sent(caller: Caller) -> None:
    happened: list[str] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise LookupError

        def close(self) -> None:
            happened.append("closed")

    with pytest.raises(LookupError):
        ask(answering("200 OK", [], Parts()), caller)

    assert happened == ["closed"]


def test_who_closes_is_asked_once_the_application_is_done(caller: Caller) -> None:
    happened: list[str] = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            happened.append("read")
            yield b""

        def close(self) -> None:
            happened.append("closed")

    def closes() -> bool:
        happened.append("asked")
        return True

    gateway = answering("200 OK", [], Parts())
    pieces, keeps = gateway.ask(Sent(), io.BytesIO(), caller, closes=closes)

    assert happened == ["read", "closed", "asked"]
    assert not keeps
    assert b"\r\nConnection: close\r\n" in pieces[0]


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\rb", "a\nb", "a\0b", "a\u20ac"])
def test_a_header_cannot_break_the_answer(caller: Caller, value: str) -> None:
    for status, headers in (
        ("200 OK", [("X-A", value)]),
        ("200 OK", [(value, "a")]),
        (f"200 {value}", []),
    ):
        with pytest.raises(BadAnswer) as caught:
            ask(answering(status, headers, [b""]), caller)

        assert value not in str(caught.value)
