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
    ("method", "status", "length"),
    [("HEAD", "200 OK", "7"), ("GET", "204 No Content", None), ("GET", "304 Same", None)],
)
def test_an_answer_without_a_body_has_none(
    caller: Caller, method: str, status: str, length: str | None
) -> None:
    headers = [] if length is None else [("Content-Length", length)]

    head, body = ask(answering(status, headers, [b"a body"]), caller, Sent(method))

    assert body == b""
    assert ("Content-Length: 7" in head) == (length is not None)


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


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\rb", "a\nb", "a\0b"])
def test_a_header_cannot_break_the_answer(caller: Caller, value: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        ask(answering("200 OK", [("X-A", value)], [b""]), caller)

    assert "Set-Cookie" not in str(caught.value)
