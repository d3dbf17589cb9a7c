"""The stand-in behind a socket, for tests of the network and of whole services."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tickets.lifecycle.linear.errors import Passing
from tickets.lifecycle.linear.transport import Answer, Transport


@contextmanager
def served(
    linear: Transport, *, show: Callable[[str], Any] = lambda _path: None
) -> Iterator[str]:
    """Serve a stand-in; yield its address. A lost answer is a closed connection.

    ``show`` gives what is answered to a GET, as JSON.
    """
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer a request, one at a time."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                with turn:
                    answer = linear(self.path, dict(self.headers), body)
            except Passing:
                return
            self._send(answer)

        def do_GET(self) -> None:
            """Answer somebody who looks into it."""
            self._send(Answer(200, {}, json.dumps(show(self.path)).encode()))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # named by its base
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/graphql"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
