"""The connections of one process: lent to one block at a time, the last one used first."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.rows import dict_row

from tickets.db import postgres
from tickets.db.postgres_watch import Watch, hang_up
from tickets.errors import Busy
from tickets.floor import FLOOR

# Between two tries to reach a server that cannot be reached.
_PAUSE_S: Final = 0.05
_ALL_LENT: Final = "Every connection to the database is in use; repeat the request"

_log = logging.getLogger(__name__)


class Link:
    """One connection with its cursors: rows as dictionaries, and rows as they come."""

    def __init__(self, connection: postgres.Connection) -> None:
        self.connection = connection
        self.rows = connection.cursor(row_factory=dict_row)
        self.plain = connection.cursor()
        self.is_useless = False

    def control(self, sql: str) -> None:
        """Run one or more statements without parameters, in one go.

        A cursor would forget every prepared statement at each ROLLBACK, in case it undid the
        making of a table.
        """
        with FLOOR.away:
            result = self.connection.pgconn.exec_(sql.encode())
        if result.status == ExecStatus.COMMAND_OK:
            return
        error = errors.error_from_result(result)
        if error.sqlstate is None:
            # The server said nothing: the connection broke, which the library of the driver
            # does not always notice itself.
            self.is_useless = True
            raise psycopg.OperationalError(str(error))
        raise error

    def is_lost(self) -> bool:
        """Tell whether nothing can be done with it any more."""
        return self.is_useless or postgres.is_lost(self.connection)


class Pool:
    """At most ``size`` connections. A block that finds none waits until its deadline."""

    def __init__(
        self,
        parameters: dict[str, Any],
        *,
        size: int,
        durable: bool,
        prepared: str,
        lock_timeout_ms: int,
    ) -> None:
        self._parameters = parameters
        self._durable = durable
        self._prepared = prepared
        self._lock_timeout_ms = lock_timeout_ms
        self._places = threading.BoundedSemaphore(size)
        self._mutex = threading.Lock()
        self._idle: list[Link] = []
        self._watch = Watch[Link](parameters, self._cut)
        self.is_closed = False

    def begin(self, sql: str, deadline: float) -> Link:
        """Return a connection in a transaction that was begun with ``sql``.

        A connection that the server closed meanwhile is replaced: nothing was done on it.
        Raises Busy where there is none before the deadline.
        """
        if not self._places.acquire(blocking=False):
            with FLOOR.away:
                if not self._places.acquire(timeout=max(0.0, deadline - time.monotonic())):
                    raise Busy(_ALL_LENT)
        try:
            return self._begun(sql, deadline)
        except BaseException:
            self._places.release()
            raise

    def _begun(self, sql: str, deadline: float) -> Link:
        while True:
            link = self._idle_link()
            is_new = link is None
            try:
                link = link or self._new_link()
                self._watch.begin(link)
                link.control(link.connection.opening(sql))
                return link
            except psycopg.Error as error:
                if link is not None:
                    lost = link.is_lost()
                    self._let_go(link)
                    if not lost:
                        raise postgres.translate(error, sql) from error
                if is_new:
                    # The server cannot be reached, or lets nobody in, or not for long.
                    self._pause(error, deadline)
            except BaseException:
                # Whatever it was, nobody gives this one back.
                if link is not None:
                    self._let_go(link)
                raise

    def _idle_link(self) -> Link | None:
        with self._mutex:
            if self.is_closed:
                raise RuntimeError("the database is closed")
            return self._idle.pop() if self._idle else None

    def _new_link(self) -> Link:
        with FLOOR.away:
            connection = postgres.connect(
                self._parameters,
                durable=self._durable,
                prepared=self._prepared,
                lock_timeout_ms=self._lock_timeout_ms,
            )
        return Link(connection)

    def _pause(self, error: psycopg.Error, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise postgres.unreachable(error) from error
        with FLOOR.away:
            time.sleep(min(_PAUSE_S, left_s))

    def give_back(self, link: Link) -> None:
        """Take a connection back, outside of any transaction; a lost one is let go."""
        self._watch.end(link)
        with self._mutex:
            keep = not link.is_lost() and not self.is_closed
            if keep:
                self._idle.append(link)
        if not keep:
            link.connection.close()
        self._places.release()

    def close(self) -> None:
        """Close what is idle, and the others when they come back."""
        with self._mutex:
            self.is_closed = True
        self._watch.close()
        self._close_idle()

    def _let_go(self, link: Link) -> None:
        self._watch.end(link)
        link.connection.close()

    def _cut(self, stalled: list[Link]) -> None:
        """End connections that wait in vain, and those that would do the same next."""
        _log.warning("no answer from the database server on %d connections", len(stalled))
        self._close_idle()
        for link in stalled:
            hang_up(link.connection)

    def _close_idle(self) -> None:
        with self._mutex:
            idle, self._idle = self._idle, []
        for link in idle:
            link.connection.close()
