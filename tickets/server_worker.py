"""The worker process: gunicorn's threads, with clients waiting on a poller, not on a thread.

gunicorn's own gthread gives a thread to each new connection for up to five seconds and to a
request whose sender is slow for as long as that takes, and it answers malformed requests in
HTML. Here a thread is taken only once a request has arrived whole.
"""

from __future__ import annotations

import errno
import os
import queue
import selectors
import signal
import socket
import time
from concurrent.futures import Future
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from tickets.server_connection import (
    SEND_TIMEOUT_S,
    Connection,
    RequestTimeout,
    read_body,
    refusal,
)
from tickets.server_turns import Turns

# How long a closed connection is drained, so that its client can still read the answer.
LINGER_S = 2.0
LINGER_MAX_BYTES = 64 << 20
# How long a stopping worker keeps idle connections for a request that may be on its way.
STOP_IDLE_S = 0.5
STOP_POLL_S = 0.1
# Rounds of the main thread in which another worker may accept first: less than a millisecond.
MAX_PASSES = 50
SWEEP_EVERY_S = 0.5
RECEIVE_BYTES = 64 << 10


class Worker(ThreadWorker):
    """A worker process; ``wsgi.stop()``, where the application has it, ends its long polls."""

    # Set by the server before it forks.
    max_body_bytes = 8 << 20
    turns: Turns

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order in which they began to wait.
        self._waiting: dict[Connection, None] = {}
        self._next_sweep = 0.0
        self._passes = 0

        # A new process has its parent's handlers, which put signals in here.
        self.early_signals: queue.SimpleQueue[int] = queue.SimpleQueue()

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
        super().run()
        self._stop_application()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop accepting, and let the application end its long polls."""
        if self.alive:
            self.alive = False
            # Not here: a signal handler may run while a lock of the application is held.
            self.method_queue.defer(self._stop_application)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Do the same on the interrupt key, which reaches every process of the terminal."""
        self.handle_exit(sig, frame)

    def _stop_application(self) -> None:
        stop = getattr(getattr(self, "wsgi", None), "stop", None)
        if stop is not None:
            stop()

    def _cap_keepalive(self, deadline: float) -> None:
        soon = time.monotonic() + STOP_IDLE_S
        for connection in self._waiting:
            if connection.is_idle:
                connection.deadline = min(connection.deadline, soon)

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Poll; a stopping worker looks often whether it is done."""
        if not self.alive:
            timeout = STOP_POLL_S
        super().wait_for_and_dispatch_events(timeout)

    # Connections that wait for their client, all on the main thread

    def accept(self, listener: Any) -> None:
        """Take a new connection; with none to spare, the one that waited longest goes.

        A worker that holds more than another lets that one go first, but not for long: it may
        be busy, or have died this instant.
        """
        if self._passes < MAX_PASSES and not self.turns.is_mine(self.nr_conns):
            self._passes += 1
            os.sched_yield()
            return
        self._passes = 0
        try:
            client_socket, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.log.error("Out of file descriptors: %s", error)
                self._evict()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        self.turns.tell(self.age, self.nr_conns)
        if self.nr_conns >= self.worker_connections:
            self._evict()
        self._wait(
            Connection(
                self.cfg,
                client_socket,
                client,
                listener.getsockname(),
                max_body_bytes=self.max_body_bytes,
            )
        )

    def _evict(self) -> None:
        for connection in self._waiting:
            self._drop(connection)
            return
        # Every connection is being answered; one of them will be free in a moment.
        time.sleep(0.01)

    def _wait(self, connection: Connection) -> None:
        connection.sock.setblocking(False)
        self._waiting[connection] = None
        self.poller.register(
            connection.sock, selectors.EVENT_READ, partial(self._on_readable, connection)
        )

    def _no_longer_waits(self, connection: Connection) -> None:
        del self._waiting[connection]
        self.poller.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        if connection in self._waiting:
            self._no_longer_waits(connection)
        self.nr_conns -= 1
        self.turns.tell(self.age, self.nr_conns)
        connection.close()

    def _on_readable(self, connection: Connection, _: object) -> None:
        # An event of the same round may have evicted it.
        if connection not in self._waiting:
            return
        try:
            data = connection.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            # Whatever was received of a request is not executed.
            self._drop(connection)
        elif connection.is_closing:
            connection.lingered_bytes += len(data)
            if connection.lingered_bytes > LINGER_MAX_BYTES:
                self._drop(connection)
        else:
            connection.inbox.add(data)
            connection.received(len(data))
            self._hand_on(connection)

    def _hand_on(self, connection: Connection) -> None:
        if connection.inbox.is_whole():
            self._no_longer_waits(connection)
            self.enqueue_req(connection)
        elif connection.inbox.expects_continue():
            try:
                connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:
                self._drop(connection)

    def murder_pending(self) -> None:
        """Close what is overdue: idle ones silently, unfinished requests with 408."""
        now = time.monotonic()
        if now < self._next_sweep and self.alive:
            return
        self._next_sweep = now + SWEEP_EVERY_S
        for connection in [each for each in self._waiting if each.deadline <= now]:
            if connection.is_idle or connection.is_closing:
                self._drop(connection)
            else:
                self._no_longer_waits(connection)
                self.handle_error(None, connection.sock, connection.client, RequestTimeout())
                self._close_gently(connection)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close everything that still waits, where forced."""
        if force:
            for connection in list(self._waiting):
                self._drop(connection)

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Let an answered connection wait for its next request, or close it."""
        keep = not fs.cancelled() and fs.exception() is None and fs.result()
        if not keep:
            self._close_gently(conn)
            return
        conn.is_idle = True
        conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_IDLE_S)
        self._wait(conn)
        left = conn.parser.unreader.take_buffered()
        if left:
            conn.inbox.add(left)
            conn.received(len(left))
        if len(conn.inbox):
            self._hand_on(conn)

    def _close_gently(self, connection: Connection) -> None:
        # Closing with unread bytes would reset the connection and lose the answer.
        # Source: RFC 9112, section 9.6.
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
            return
        connection.is_closing = True
        connection.deadline = time.monotonic() + LINGER_S
        self._wait(connection)

    # Requests, each on a thread of the pool

    def handle(self, conn: Any) -> bool:
        """Parse and answer one request; return whether the connection can have another."""
        request: Any = None
        try:
            conn.sock.settimeout(SEND_TIMEOUT_S)
            request = next(conn.parser)
            closes = request.should_close
            # Asked when the answer is sent: a long poll that ends because the worker stops
            # tells its client that the connection ends too.
            request.should_close = lambda: not self.alive or closes()
            framed, request.body = request.body, read_body(request, self.max_body_bytes)
            # 100 was sent while the body was awaited; one that is refused gets none.
            request._expected_100_continue = False
            keep = bool(self.handle_request(request, conn))
            failed = getattr(request.body, "failed", False)
            request.body = framed
            return (
                keep
                and not failed
                and conn.parser.finish_body(deadline=time.monotonic() + LINGER_S)
            )
        except StopIteration:
            self.log.debug("The client closed its connection")
        except OSError as error:
            self.log.debug("The client went away: %s", error)
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be read, in the one shape of all errors."""
        status, answer = refusal(exc)
        if status == 500:
            self.log.error("Error handling a request", exc_info=exc)
        else:
            self.log.debug("Refused a request from %s: %s", addr, exc)
        try:
            client.sendall(answer)
        except OSError as error:
            self.log.debug("The client went away: %s", error)
