"""Serves a WSGI application of five lines through the real server, for tests of the server."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from tickets import server_connection
from tickets.config import load_settings
from tickets.server import listen, run


class Dummy:
    """Answers with what it saw; ``/wait`` answers when the worker stops; ``/count`` counts."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._executed = 0

    def stop(self) -> None:
        self._stopping.set()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/wait":
            answer: object = {"stopped": self._stopping.wait(60)}
        elif path == "/count":
            answer = {"executed": self._executed}
        else:
            self._executed += 1
            size = 0
            while data := environ["wsgi.input"].read(65_536):
                size += len(data)
            answer = {"raw": environ["RAW_URI"], "path": path, "bytes": size}
        body = json.dumps({**answer, "pid": os.getpid()}).encode()  # type: ignore[dict-item]
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]


if __name__ == "__main__":
    flags = dict(argument.split("=", 1) for argument in sys.argv[1:])
    server_connection.REQUEST_TIMEOUT_S = float(flags.pop("request_timeout_s", "20"))
    settings = load_settings({"port": "0", "db": "unused.db", **flags}, {})
    run(settings, listen(settings), load=lambda _: Dummy())
