"""What happens around every request: identity, authentication, log line, metrics."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, TextIO

from falcon import Request, Response

from tickets.errors import NotFound
from tickets.ids import new_id
from tickets.web.answers import to_json
from tickets.web.auth import Access, Authenticator, require
from tickets.web.idempotency import IdempotencyKeys
from tickets.web.metrics import Metrics

# Long enough that a busy server writes many lines at once, short enough for a person.
LOG_FLUSH_S = 0.2
# Where nobody takes the lines, the oldest of so many make room.
LOG_QUEUE_LINES = 10_000

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestLog:
    """One JSON line for each request, written by a thread of its own.

    No request waits for a pipe or disk. Tokens, bodies and query strings are never logged.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._lines: deque[str] = deque(maxlen=LOG_QUEUE_LINES)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def write(self, line: dict[str, Any]) -> None:
        """Queue a line."""
        self._lines.append(to_json(line))
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="request-log", daemon=True
                    )
                    self._thread.start()

    def flush(self) -> None:
        """Write what is queued."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()

    def _run(self) -> None:
        while True:
            time.sleep(LOG_FLUSH_S)
            # A full disk or a reader that went away loses lines, and nothing else.
            with suppress(OSError, ValueError):
                self.flush()


class AroundRequests:
    """Falcon middleware; one for each application."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        idempotency: IdempotencyKeys,
        metrics: Metrics,
        log: RequestLog | None,
        max_body_bytes: int,
    ) -> None:
        self._authenticator = authenticator
        self._idempotency = idempotency
        self._metrics = metrics
        self._log = log
        self._max_body_bytes = max_body_bytes

    def process_request(self, req: Request, resp: Response) -> None:
        """Name the request, and refuse it before routing where the caller may not be here."""
        context = req.context
        context.started_s = time.perf_counter()
        given = req.env.get("HTTP_X_REQUEST_ID", "")
        context.request_id = given if _SANE_ID.fullmatch(given) else new_id()
        resp.set_header("X-Request-Id", context.request_id)
        context.body = b""
        context.max_body_bytes = self._max_body_bytes
        context.idempotency = self._idempotency
        context.caller = self._authenticator.identify(req)

    def process_response(
        self,
        req: Request,
        resp: Response,
        _resource: object,
        _succeeded: bool,  # noqa: FBT001  # Falcon passes it by position
    ) -> None:
        """Count the request, and log it where that was asked for."""
        if req.method == "HEAD" and resp.data is not None:
            resp.set_header("Content-Length", str(len(resp.data)))
            resp.data = b""
        seconds = time.perf_counter() - req.context.started_s
        route = req.uri_template or "unmatched"
        self._metrics.count_request(req.method, route, resp.status_code, seconds)
        if self._log is not None:
            self._log.write(
                {
                    "time_ms": time.time_ns() // 1_000_000,
                    "request_id": req.context.request_id,
                    "method": req.method,
                    "route": route,
                    "status": resp.status_code,
                    "duration_ms": round(seconds * 1000, 2),
                    "answer_bytes": len(resp.data) if resp.data is not None else 0,
                }
            )


def refuse_unknown_path(req: Request, _resp: Response, **_params: str) -> None:
    """Answer every path that no route has: 401 for strangers, 404 for the others."""
    require(req.context.caller, Access.API)
    raise NotFound("No such path; /docs and /openapi.json list what there is")
