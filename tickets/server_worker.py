"""The worker process: gunicorn's threads, with clients waiting on a poller, not on a thread.

gunicorn's own gthread gives a thread to each new connection for up to five seconds and to a
request whose sender is slow, or whose answer is read slowly, for as long as that takes, and it
answers malformed requests in HTML. Here a thread is taken only once a request has arrived
whole, and given back before its answer is taken.
"""

from __future__ import annotations

import queue
import signal
from types import FrameType
from typing import Any

from tickets.floor import FLOOR
from tickets.ids import new_id
from tickets.server_connection import OversizedBody, read_body, refusal
from tickets.server_gateway import Gateway
from tickets.server_polling import PollingWorker
from tickets.web.counters import Counters

STOP_POLL_S = 0.1
# How long a thread that has answered waits for the same client's next request: the steps of an
# agent follow each other. One thread in so many may do so at once; the others are for the rest.
STAY_MS = 10
THREADS_FOR_ONE_TO_STAY = 8


class Worker(PollingWorker):
    """A worker process; ``wsgi.stop()``, where the application has it, ends its long polls."""

    # Set by the server before it forks.
    counters: Counters

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A new process has its parent's handlers, which put signals in here.
        self.early_signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stayers = 0

    # Stopping

    def init_signals(self) -> None:
        """Listen to signals, and obey one that came just after the fork."""
        super().init_signals()
        while not self.early_signals.empty():
            if self.early_signals.get() in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                self.handle_exit(signal.SIGTERM, None)

    def run(self) -> None:
        """Serve until stopped, then end what the application runs besides requests."""
        self.turns.tell(self.age, 0)
        self._gateway = Gateway(self.wsgi, is_multiprocess=self.cfg.workers > 1)
        super().run()
        self._stop_application()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop accepting, and let the application end its long polls."""
        if self.alive:
            self.alive = False
            # Not here: a signal handler may run while a lock of the application is held.
            self.method_queue.defer(self._stop_application)

    def is_parent_alive(self) -> bool:
        """Tell whether the master lives; a worker that lost it stops as if it were told to.

        Otherwise it would hold the port without accepting anybody, and answer kept
        connections, until the grace period is over.
        """
        if super().is_parent_alive():
            return True
        self.handle_exit(signal.SIGTERM, None)
        return False

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Do the same on the interrupt key, which reaches every process of the terminal."""
        self.handle_exit(sig, frame)

    def _stop_application(self) -> None:
        stop = getattr(getattr(self, "wsgi", None), "stop", None)
        if stop is not None:
            stop()

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Poll; a stopping worker looks often whether it is done."""
        if not self.alive:
            timeout = STOP_POLL_S
        super().wait_for_and_dispatch_events(timeout)

    # Requests, each on a thread of the pool

    def handle(self, conn: Any) -> bool:
        """Answer a request, and those that follow at once; return whether more can come."""
        with FLOOR:
            keep = self._answer(conn)
        while keep and self._has_next(conn):
            with FLOOR:
                keep = self._answer(conn)
        return keep

    def _has_next(self, conn: Any) -> bool:
        """Wait a moment for the next request: taking it here spares two handovers."""
        stayers_max = self.cfg.threads // THREADS_FOR_ONE_TO_STAY
        if not self.alive or len(conn.outbox) or self._stayers >= stayers_max:
            return False
        self._stayers += 1
        try:
            return bool(conn.receive_next(STAY_MS))
        finally:
            self._stayers -= 1

    def _answer(self, conn: Any) -> bool:
        """Parse and answer one request; return whether the connection can have another."""
        request: Any = None
        try:
            request = conn.next_request()
            is_oversized = conn.inbox.is_oversized
            body = read_body(request, self.max_body_bytes, is_oversized=is_oversized)
            is_refused = isinstance(body, OversizedBody)
            # Asked when the answer is there: a long poll that ends because the worker stops
            # tells its client that the connection ends too. And asked once: who was told
            # that it is kept may have sent the next request when the worker stops.
            pieces, keep = self._gateway.ask(
                request,
                body,
                conn.caller,
                closes=lambda: is_refused or not self.alive or request.should_close(),
            )
            conn.outbox.add(pieces)
            conn.outbox.flush()
            return keep
        except OSError as error:
            conn.outbox.clear()
            self.log.debug("The client went away: %s", error)
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be read, in the one shape of all errors."""
        request_id = new_id()
        status, answer = refusal(exc, request_id)
        if status == 500:
            self.log.error("Error handling request %s", request_id, exc_info=exc)
        else:
            self.log.debug("Refused request %s from %s: %s", request_id, addr, exc)
        try:
            client.sendall(answer)
        except OSError as error:
            self.log.debug("The client went away: %s", error)
