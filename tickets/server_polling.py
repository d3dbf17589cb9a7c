"""The connections of a worker that wait for their client, on a poller and not on a thread.

A client may be slow to send a request, to take its answer, or to end its connection.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from tickets.server_connection import (
    SEND_TIMEOUT_S,
    Connection,
    RequestTimeout,
)
from tickets.server_turns import Turns

# A closed connection is drained while bytes come, so that its client can still read the answer.
LINGER_S = 2.0
LINGER_MAX_S = 10.0
LINGER_MAX_BYTES = 64 << 20
# How long a stopping worker keeps idle connections for a request that may be on its way, and
# how long a client may go on taking its answer.
STOP_IDLE_S = 0.5
STOP_SEND_S = 5.0
# Answers that clients do not take hold memory; beyond this the oldest one goes.
PARKED_MAX_BYTES = 128 << 20
# Rounds of the main thread in which another worker may accept first: less than a millisecond.
MAX_PASSES = 50
SWEEP_EVERY_S = 0.5
RECEIVE_BYTES = 64 << 10


class PollingWorker(ThreadWorker):
    """Accepts, receives, sends what is left of answers and closes, all on the main thread."""

    # Set by the server before it forks.
    max_body_bytes = 8 << 20
    turns: Turns

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the order in which they began to wait.
        self._waiting: dict[Connection, None] = {}
        self._parked_bytes = 0
        self._next_sweep = 0.0
        self._passes = 0

    def init_process(self) -> None:
        """Serve; the settings are looked up twenty times in each request, so as attributes."""
        derived = vars(type(self.cfg))
        settings = self.cfg.settings.items()
        vars(self.cfg).update(
            {name: each.get() for name, each in settings if name not in derived}
        )
        super().init_process()

    # Accepting

    def set_accept_enabled(self, enabled: bool | None) -> None:  # noqa: FBT001  # theirs
        """Listen or not; a worker that stops takes what has connected already."""
        is_last = not enabled and not self.alive
        if is_last:
            self._empty_backlog()
        super().set_accept_enabled(enabled)
        if is_last:
            # At once, so that nobody connects who will not be answered.
            for listener in self.sockets:
                listener.close()

    def _empty_backlog(self) -> None:
        for listener in self.sockets:
            while self.nr_conns < self.worker_connections and self._accept_one(listener):
                pass

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
        self._accept_one(listener)

    def _accept_one(self, listener: Any) -> bool:
        try:
            client_socket, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.log.error("Out of file descriptors: %s", error)
                self._evict()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return False
        self.nr_conns += 1
        self.turns.tell(self.age, self.nr_conns)
        if self.nr_conns >= self.worker_connections:
            self._evict()
        server = listener.getsockname()
        limit = self.max_body_bytes
        self._wait(Connection(self.cfg, client_socket, client, server, max_body_bytes=limit))
        return True

    def _evict(self) -> None:
        for connection in self._waiting:
            self._drop(connection)
            return
        # Every connection is being answered; one of them will be free in a moment.
        time.sleep(0.01)

    # Waiting

    def _wait(self, connection: Connection) -> None:
        connection.sock.setblocking(False)
        self._waiting[connection] = None
        is_parked = len(connection.outbox) > 0
        events = selectors.EVENT_WRITE if is_parked else selectors.EVENT_READ
        react = self._on_writable if is_parked else self._on_readable
        self.poller.register(connection.sock, events, partial(react, connection))

    def _no_longer_waits(self, connection: Connection) -> None:
        del self._waiting[connection]
        self._parked_bytes -= connection.parked_bytes
        connection.parked_bytes = 0
        self.poller.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        if connection in self._waiting:
            self._no_longer_waits(connection)
        self.nr_conns -= 1
        self.turns.tell(self.age, self.nr_conns)
        connection.close()

    def murder_pending(self) -> None:
        """Close what is overdue: unfinished requests with 408, all others silently."""
        now = time.monotonic()
        if now < self._next_sweep and self.alive:
            return
        self._next_sweep = now + SWEEP_EVERY_S
        for connection in [each for each in self._waiting if each.deadline <= now]:
            if connection.is_idle or connection.is_closing or len(connection.outbox):
                self._drop(connection)
            else:
                self._no_longer_waits(connection)
                self.handle_error(None, connection.sock, connection.client, RequestTimeout())
                self._close_gently(connection)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002  # theirs
        """Close everything that still waits, where forced."""
        if force:
            for connection in list(self._waiting):
                self._drop(connection)

    def _cap_keepalive(self, _: float) -> None:
        now = time.monotonic()
        for connection in self._waiting:
            if len(connection.outbox):
                connection.deadline = min(connection.deadline, now + STOP_SEND_S)
            elif connection.is_idle:
                connection.deadline = min(connection.deadline, now + STOP_IDLE_S)

    # Receiving

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
            self._linger(connection, len(data))
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

    # Answered

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Go on with an answered connection; first its client takes the whole answer."""
        conn.keeps = bool(not fs.cancelled() and fs.exception() is None and fs.result())
        if not len(conn.outbox):
            self._go_on(conn)
            return
        conn.deadline = time.monotonic() + (SEND_TIMEOUT_S if self.alive else STOP_SEND_S)
        conn.parked_bytes = len(conn.outbox)
        self._parked_bytes += conn.parked_bytes
        while self._parked_bytes > max(PARKED_MAX_BYTES, conn.parked_bytes):
            self._drop(next(each for each in self._waiting if each.parked_bytes))
        self._wait(conn)

    def _on_writable(self, connection: Connection, _: object) -> None:
        if connection not in self._waiting:
            return
        try:
            is_sent = connection.outbox.flush()
        except OSError:
            self._drop(connection)
            return
        if is_sent:
            self._no_longer_waits(connection)
            self._go_on(connection)

    def _go_on(self, conn: Any) -> None:
        if not conn.keeps:
            self._close_gently(conn)
            return
        conn.is_idle = True
        conn.deadline = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_IDLE_S)
        self._wait(conn)
        left = conn.unreader.take_buffered()
        conn.inbox.add(left)
        if len(conn.inbox):
            conn.received(len(conn.inbox))
            self._hand_on(conn)

    # Closing

    def _close_gently(self, connection: Connection) -> None:
        # Closing with unread bytes would reset the connection and lose the answer.
        # Source: RFC 9112, section 9.6.
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
            return
        connection.is_closing = True
        now = time.monotonic()
        connection.lingers_until = now + LINGER_MAX_S
        connection.deadline = now + LINGER_S
        self._wait(connection)

    def _linger(self, connection: Connection, size: int) -> None:
        connection.lingered_bytes += size
        connection.deadline = min(time.monotonic() + LINGER_S, connection.lingers_until)
        if connection.lingered_bytes > LINGER_MAX_BYTES:
            self._drop(connection)
