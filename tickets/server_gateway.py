"""One request through the application: environment in, whole answer out (PEP 3333).

gunicorn writes to a socket while the application answers. Here an answer is complete before
its first byte leaves, so that its length is known and nothing has to be cut into chunks.
"""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from gunicorn.util import unquote_to_wsgi_str

_BODILESS: Final = ("204", "304")
# Where there can be no body its length is not said either. Source: RFC 9110, section 8.6.
_NO_CONTENT: Final = "204"
_OWN_FIELDS: Final = {"CONTENT-TYPE": "CONTENT_TYPE", "CONTENT-LENGTH": "CONTENT_LENGTH"}
_ABSOLUTE: Final = re.compile(r"(?i:https?)://[^/?#]*/?(.*)", re.DOTALL)


class BadAnswer(Exception):
    """The application made up an answer that cannot be sent."""


class Caller(NamedTuple):
    """Who asks, over which connection, and the address that was asked."""

    sock: socket.socket
    client: Any
    server: Any


class Gateway:
    """Asks one application; one for each worker process."""

    def __init__(self, application: Any, *, is_multiprocess: bool) -> None:
        self._application = application
        self._constants = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": is_multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "SCRIPT_NAME": "",
        }
        self._date = ""
        self._date_s = 0

    def ask(
        self, request: Any, body: Any, caller: Caller, *, closes: Callable[[], bool]
    ) -> tuple[list[bytes], bool]:
        """Return the bytes of the answer, and whether the connection can have another.

        ``closes`` is asked once, when the application is done. Raises what the application
        raises, and BadAnswer for a header that cannot be sent.
        """
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _exc_info: Any = None
        ) -> Callable[[bytes], object]:
            started[:] = [(status, headers)]
            return _refuse_write

        environ = self._environ(request, body, caller)
        parts = self._application(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        status, headers = started[0]
        is_last = closes()
        is_bodiless = request.method == "HEAD" or status.startswith(_BODILESS)
        if is_bodiless:
            content = b""
        if not is_bodiless or status.startswith(_NO_CONTENT):
            headers = [each for each in headers if each[0].lower() != "content-length"]
        if not is_bodiless:
            headers.append(("Content-Length", str(len(content))))
        return [self._head(request, status, headers, is_last=is_last), content], not is_last

    def _environ(self, request: Any, body: Any, caller: Caller) -> dict[str, Any]:
        _, client, server = caller
        environ = {
            **self._constants,
            "wsgi.input": body,
            # As under gunicorn's own workers: a long poll asks it whether its client is there.
            "gunicorn.socket": caller.sock,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query,
            "RAW_URI": _origin_form(request.uri),
            "PATH_INFO": unquote_to_wsgi_str(request.path),
            "SERVER_PROTOCOL": f"HTTP/1.{request.version[1]}",
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
        }
        for name, value in request.headers:
            key = _OWN_FIELDS.get(name) or f"HTTP_{name.replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def _head(
        self, request: Any, status: str, headers: list[tuple[str, str]], *, is_last: bool
    ) -> bytes:
        lines = [
            f"HTTP/1.{request.version[1]} {status}",
            f"Date: {self._now()}",
            f"Connection: {'close' if is_last else 'keep-alive'}",
            *[f"{name}: {value}" for name, value in headers],
            "\r\n",
        ]
        head = "\r\n".join(lines)
        # Errors without the value, which may be a secret.
        if head.count("\r") != len(lines) or head.count("\n") != len(lines) or "\0" in head:
            raise BadAnswer("a line break in a header")
        try:
            return head.encode("latin-1")
        except UnicodeEncodeError:
            raise BadAnswer("a character beyond Latin-1 in a header") from None

    def _now(self) -> str:
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date = formatdate(now_s, usegmt=True)
            self._date_s = now_s
        return self._date


def _origin_form(target: str) -> str:
    """Return a target without the host that a client of a proxy puts before the path."""
    # Source: RFC 9112, section 3.2.2, by which a server takes both.
    absolute = None if target[0] == "/" else _ABSOLUTE.fullmatch(target)
    return target if absolute is None else f"/{absolute[1]}"


def _refuse_write(_: bytes) -> object:
    raise NotImplementedError("return the body, this server has no write()")
