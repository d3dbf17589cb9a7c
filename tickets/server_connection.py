"""One client connection: what it has sent, until when it may send, how it is refused."""

from __future__ import annotations

import io
import json
import select
import socket
import time
from email.utils import formatdate
from typing import Any

from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

from tickets.server_gateway import Caller
from tickets.server_inbox import Inbox
from tickets.server_outbox import Outbox

# A request must arrive within this, plus a second for every so many bytes of it.
REQUEST_TIMEOUT_S = 20.0
REQUEST_MIN_BYTES_PER_S = 16 << 10
# One answer must be taken by the client within this.
SEND_TIMEOUT_S = 60.0
RECEIVE_BYTES = 64 << 10
# As gunicorn's own reader asks the socket for.
PIECE_MIN_BYTES = 8 << 10
PIECE_MAX_BYTES = 1 << 20


class RequestTimeout(Exception):
    """The client took too long to send its request."""


REFUSALS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (RequestTimeout, 408, "request_timeout", "The request took too long to arrive"),
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
        self.outbox = Outbox(client_socket)
        self.keeps = False
        self.parked_bytes = 0
        self.caller = Caller(client_socket, client, server)
        self.unreader = _Unreader(self)
        self._poll = select.poll()
        self._poll.register(client_socket, select.POLLIN)
        self.deadline = time.monotonic() + REQUEST_TIMEOUT_S
        self.is_idle = True
        self.is_closing = False
        self.lingered_bytes = 0
        self.lingers_until = 0.0

    def received(self, size: int) -> None:
        """Note that bytes came in: the clock starts with the first, and more buy time."""
        if self.is_idle:
            self.is_idle = False
            self.deadline = time.monotonic() + REQUEST_TIMEOUT_S
        self.deadline += size / REQUEST_MIN_BYTES_PER_S

    def receive_next(self, patience_ms: int) -> bool:
        """Wait for the next request; False where it is not whole by then, or the client left.

        What came in stays in the inbox.
        """
        self.is_idle = True
        self.deadline = time.monotonic() + self.cfg.keepalive
        left = self.unreader.take_buffered()
        if left:
            self.inbox.add(left)
            self.received(len(left))
        if not len(self.inbox):
            if not self._poll.poll(patience_ms):
                return False
            try:
                data = self.sock.recv(RECEIVE_BYTES)
            except OSError:
                return False
            if data:
                self.inbox.add(data)
                self.received(len(data))
        return bool(len(self.inbox)) and self.inbox.is_whole()

    def next_request(self) -> Request:
        """Return the request that arrived, its body unread; raises gunicorn's errors."""
        return _Request(self.cfg, self.unreader, self.client)


class _Request(Request):
    """A request whose sender may set no scheme and no address by a header, whoever it is.

    And one whose ``Connection`` may hold several options, as RFC 9110 (7.6.1) has it.
    """

    def should_close(self) -> bool:
        """Tell whether no other request may follow on the connection."""
        held = [value for name, value in self.headers if name == "CONNECTION"]
        options = {option.strip(" \t") for option in ",".join(held).lower().split(",")}
        if self.must_close or self.method == "CONNECT" or "close" in options:
            return True
        return self.version == (1, 0) and "keep-alive" not in options

    def _peer_is_trusted_proxy(self) -> bool:
        # gunicorn takes the sender's address apart to find it in an empty list.
        return False


class _Unreader(SocketUnreader):
    """Reads what the inbox held, and never waits for more: a request is handled once whole."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.sock)
        self._inbox = connection.inbox
        self._taken = memoryview(b"")

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self._inbox.flaw is not None:
            raise errors.InvalidHeader(self._inbox.flaw)
        if self._inbox.is_crowded:
            raise errors.LimitRequestHeaders("too many fields")
        if len(self._inbox):
            self._taken = memoryview(self._inbox.take())
        # In pieces: the reader of chunks copies what is left of a piece for each chunk.
        size = max(PIECE_MIN_BYTES, min(size_hint or 0, PIECE_MAX_BYTES))
        piece, self._taken = bytes(self._taken[:size]), self._taken[size:]
        return piece

    def take_buffered(self) -> bytes:
        """Return what was received beyond the present request."""
        left, self._taken = bytes(self._taken), memoryview(b"")
        buffered: bytes = super().take_buffered()
        return buffered + left


class OversizedBody(io.BytesIO):
    """As much of a body as shows that it will be refused.

    The rest is not waited for: the connection ends, and what still comes is thrown away while
    the client reads its answer.
    """


def read_body(request: Any, max_body_bytes: int, *, is_oversized: bool) -> io.BytesIO:
    """Return the body as a file, read to its end unless it is too large.

    ``is_oversized`` says that chunks announced too much, which need not have come. Raises
    NoMoreData for a body that the client did not finish, which is then not executed, and
    gunicorn's errors for chunks that cannot be read.
    """
    lengths = [value for name, value in request.headers if name == "CONTENT-LENGTH"]
    expected = int(lengths[0]) if lengths else None
    if expected is not None and expected > max_body_bytes:
        return OversizedBody()
    if is_oversized:
        # As long as it takes to be refused; nobody looks at the bytes.
        return OversizedBody(bytes(max_body_bytes + 1))
    data = request.body.read(max_body_bytes + 1)
    if expected is not None and len(data) < expected:
        raise errors.NoMoreData(data[:80])
    if len(data) > max_body_bytes:
        return OversizedBody(data)
    return io.BytesIO(data)


def refusal(error: BaseException, request_id: str) -> tuple[int, bytes]:
    """Return status and whole answer for a request that never reached the application."""
    status, code, message = _refusal(error)
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nDate: {formatdate(usegmt=True)}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\n"
        "Connection: close\r\n\r\n"
    )
    return status, head.encode() + body


def _refusal(error: BaseException) -> tuple[int, str, str]:
    for kind, status, code, message in REFUSALS:
        if isinstance(error, kind):
            detail = f": {error}"[:200] if status == 400 else ""
            return status, code, message + detail
    return 500, "internal_error", "The service failed; the request may be repeated"
