"""One HTTP request to Linear and its answer; the only place that opens a connection to it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from tickets.lifecycle.linear.errors import Passing

TIMEOUT_S: Final = 10.0
# Fifty issues with long descriptions; more than that is not an answer of Linear's.
MAX_ANSWER_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Whatever carries a request to Linear; tests bring one of their own."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, /) -> Answer:
        """Send a POST and return the answer. Raises Passing where there is none."""


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send a POST on a connection of its own, and follow no redirection with the key.

    Raises Passing for whatever the network does, or does not within ten seconds.
    """
    parts = urlsplit(url)
    kind = (
        http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    )
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    target = parts.path or "/"
    deadline_s = time.monotonic() + TIMEOUT_S
    try:
        connection.connect()
        with _ended_at(connection.sock, deadline_s):
            connection.request(
                "POST",
                f"{target}?{parts.query}" if parts.query else target,
                body,
                dict(headers),
            )
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES + 1)
        if time.monotonic() >= deadline_s:
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        # The class only: the text may name hosts, and a proxy's may repeat what was sent.
        name = "TimeoutError" if time.monotonic() >= deadline_s else type(error).__name__
        raise Passing(f"no answer from Linear ({name})") from error
    finally:
        connection.close()
    if len(content) > MAX_ANSWER_BYTES:
        raise Passing("the answer from Linear is too large")
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, content)


@contextmanager
def _ended_at(sock: socket.socket, deadline_s: float) -> Iterator[None]:
    """End the connection at a time, because its own limit is for each piece that comes."""
    timer = threading.Timer(max(0.0, deadline_s - time.monotonic()), _hang_up, [sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(sock: socket.socket) -> None:
    """Let whoever reads from a socket, or writes to it, find its end."""
    with suppress(OSError):
        # Not that of an SSLSocket, which would let its reader go on without TLS.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
