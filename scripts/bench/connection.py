"""One kept HTTP connection, with as little as possible between the caller and the socket."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 120.0
_END = b"\r\n\r\n"


class Refused(Exception):
    """The service answered otherwise than the benchmark needs."""


@dataclass(frozen=True)
class Address:
    """Where a service listens, and its API token if it wants one."""

    host: str
    port: int
    token: str | None = None

    @classmethod
    def of(cls, url: str, token: str | None = None) -> Address:
        """Return the address in a URL without a path."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"not a URL like http://127.0.0.1:7700: {url}")
        return cls(parts.hostname, parts.port or 80, token)

    @property
    def url(self) -> str:
        """The address as wrk takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Connection:
    """Sends one request after the other."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket = socket.create_connection((address.host, address.port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def send(self, method: str, path: str, body: bytes = b"", token: str | None = None) -> None:
        """Send a request without waiting for its answer."""
        token = token or self._address.token
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + body)

    def receive(self) -> tuple[int, bytes]:
        """Return status and body of the next answer."""
        data = self._left
        while _END not in data:
            data += self._more()
        head, _, body = data.partition(_END)
        size = _content_length(head)
        while len(body) < size:
            body += self._more()
        self._left = body[size:]
        return int(head[9:12]), body[:size]

    def ask(
        self, method: str, path: str, body: bytes = b"", token: str | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of the answer to a request."""
        self.send(method, path, body, token)
        return self.receive()

    def json(
        self, method: str, path: str, document: Any = None, token: str | None = None
    ) -> Any:
        """Return the document that a request is answered with. Raises Refused for no 2xx."""
        body = b"" if document is None else json.dumps(document).encode()
        status, answer = self.ask(method, path, body, token)
        if not 200 <= status < 300:
            raise Refused(f"{method} {path}: {status} {answer[:300].decode(errors='replace')}")
        return json.loads(answer) if answer and answer[:1] in b"{[" else None

    def fileno(self) -> int:
        """Return the socket's number, for selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; an answer that is still to come is not waited for."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the service closed the connection without an answer")
        return data


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
