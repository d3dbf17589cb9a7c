"""One client connection: what it has sent, until when it may send, how it is refused."""

from __future__ import annotations

import io
import json
import socket
import time
from typing import Any

from gunicorn import http
from gunicorn.http import errors
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

from tickets.server_inbox import Inbox

# A request must arrive within this, plus a second for every so many bytes of it.
REQUEST_TIMEOUT_S = 20.0
REQUEST_MIN_BYTES_PER_S = 16 << 10
# One answer must be taken by the client within this.
SEND_TIMEOUT_S = 60.0
READ_BYTES = 64 << 10
# As gunicorn's own reader asks the socket for.
PIECE_MIN_BYTES = 8 << 10
PIECE_MAX_BYTES = 1 << 20

_REFUSALS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (errors.LimitRequestLine, 414, "uri_too_long", "The request line is too long"),
    (errors.LimitRequestHeaders, 431, "headers_too_large", "The headers are too large"),
    (errors.ExpectationFailed, 417, "expectation_failed", "This expectation is not supported"),
    (errors.ConfigurationProblem, 400, "invalid_request", "The request is not valid HTTP"),
    (errors.ParseException, 400, "invalid_request", "The request is not valid HTTP"),
)
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


class RequestTimeout(Exception):
    """The client took too long to send its request."""


class Connection(TConn):
    """One client connection, from accept to close."""

    def __init__(
        self,
        cfg: Any,
        client_socket: socket.socket,
        client: Any,
        server: Any,
        *,
        max_body_bytes: int,
    ) -> None:
        super().__init__(cfg, client_socket, client, server)
        self.inbox = Inbox(max_body_bytes)
        self.parser = http.get_parser(cfg, client_socket, client)
        self.parser.unreader = _Unreader(self)
        self.deadline = time.monotonic() + REQUEST_TIMEOUT_S
        self.is_idle = True
        self.is_closing = False
        self.lingered_bytes = 0

    def received(self, size: int) -> None:
        """Note that bytes came in: the clock starts with the first, and more buy time."""
        if self.is_idle:
            self.is_idle = False
            self.deadline = time.monotonic() + REQUEST_TIMEOUT_S
        self.deadline += size / REQUEST_MIN_BYTES_PER_S


class _Unreader(SocketUnreader):
    """Reads what the inbox held first, then the socket until the connection's deadline."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.sock)
        self._connection = connection
        self._taken = memoryview(b"")

    def chunk(self, size_hint: int | None = None) -> bytes:
        inbox = self._connection.inbox
        if inbox.flaw is not None:
            raise errors.InvalidHeader(inbox.flaw)
        if len(inbox):
            self._taken = memoryview(inbox.take())
        if self._taken:
            # In pieces: the reader of chunks copies what is left of a piece for each chunk.
            size = max(PIECE_MIN_BYTES, min(size_hint or 0, PIECE_MAX_BYTES))
            piece, self._taken = bytes(self._taken[:size]), self._taken[size:]
            return piece
        left_s = self._connection.deadline - time.monotonic()
        if left_s <= 0:
            raise RequestTimeout
        self.sock.settimeout(left_s)
        try:
            data: bytes = super().chunk(size_hint)  # type: ignore[call-arg]  # stubs are older
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            self.sock.settimeout(SEND_TIMEOUT_S)
        self._connection.received(len(data))
        return data

    def take_buffered(self) -> bytes:
        """Return what was received beyond the present request."""
        left, self._taken = bytes(self._taken), memoryview(b"")
        buffered: bytes = super().take_buffered()
        return buffered + left


class _OversizedBody(io.RawIOBase):
    """A body that will be refused: what was read of it, then the rest, then silence.

    The application drains it to be able to answer; a client that stops sending ends it.
    """

    def __init__(self, start: bytes, rest: Any, *, is_coming: bool = True) -> None:
        super().__init__()
        self._start = io.BytesIO(start)
        self._rest = rest
        self.failed = not is_coming

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = READ_BYTES if size is None or size < 0 else size
        if self.failed or wanted == 0:
            return b""
        try:
            data: bytes = self._start.read(wanted) or self._rest.read(wanted)
        except (OSError, RequestTimeout, errors.ParseException):
            self.failed = True
            return b""
        return data


def read_body(request: Any, max_body_bytes: int) -> Any:
    """Return the body as a file, read to its end unless it is too large.

    Raises NoMoreData for a body that the client did not finish, which is then not executed,
    and gunicorn's errors for chunks that cannot be read.
    """
    lengths = [value for name, value in request.headers if name == "CONTENT-LENGTH"]
    expected = int(lengths[0]) if lengths else None
    if expected is not None and expected > max_body_bytes:
        # A client that was to be told to go on has not begun, and need not.
        is_coming = not request._expected_100_continue
        return _OversizedBody(b"", request.body, is_coming=is_coming)
    data = request.body.read(max_body_bytes + 1)
    if expected is not None and len(data) < expected:
        raise errors.NoMoreData(data[:80])
    if len(data) > max_body_bytes:
        return _OversizedBody(data, request.body)
    return io.BytesIO(data)


def refusal(error: BaseException) -> tuple[int, bytes]:
    """Return status and whole answer for a request that never reached the application."""
    status, code, message = _refusal(error)
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return status, head.encode() + body


def _refusal(error: BaseException) -> tuple[int, str, str]:
    if isinstance(error, RequestTimeout):
        return 408, "request_timeout", "The request took too long to arrive"
    if "Response" in type(error).__name__:
        # A header that the application made up wrongly; its class derives from the client's.
        return 500, "internal_error", "The service failed"
    for kind, status, code, message in _REFUSALS:
        if isinstance(error, kind):
            detail = f": {error}"[:200] if status == 400 else ""
            return status, code, message + detail
    return 500, "internal_error", "The service failed; the request may be repeated"
