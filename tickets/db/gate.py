"""The write gate: one writer at a time over all processes, one COMMIT for many writers.

::

    join ──► queue of this process ──► lock file ──► BEGIN IMMEDIATE      first member
                     │
                     └── a batch is open ──► SAVEPOINT                    each further member

    leave ─► RELEASE ─► somebody waits and the batch has room? ── yes ──► turn handed over
                                   │ no                                   (wait for outcome)
                                   └──► COMMIT ─► wake-ups ─► lock file free, turn given away
                                                                     │
                                                             log synced ─► all answered
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tickets.db import sqlite
from tickets.db.batch import Batch, Line
from tickets.db.filelock import FileLock
from tickets.db.log import Log
from tickets.db.presence import Presence
from tickets.errors import Busy, TicketsError
from tickets.floor import FLOOR

_log = logging.getLogger(__name__)


class Gate:
    """The only way to write to one database from this process."""

    def __init__(
        self,
        path: str,
        durability: sqlite.Durability,
        publish: Callable[[list[str]], None] | None,
    ) -> None:
        self._path = path
        self._log = Log(path)
        self._presence = Presence(path, self._log)
        self._is_durable = durability == "full"
        self._publish = publish
        self._line = Line()
        self._lock = FileLock(f"{path}-lock")
        self._batch: Batch | None = None
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False

    def join(self, deadline: float) -> Batch:
        """Take the turn inside an open batch; raises Busy at ``deadline``.

        Whoever joined must call leave() or withdraw().
        """
        self._take_turn(deadline)
        try:
            batch = self._batch
            if batch is None:
                batch = self._batch = self._begin(deadline)
            else:
                self._run("SAVEPOINT member")
        except BaseException as error:
            self._pass_on(error)
            raise
        batch.members += 1
        return batch

    def leave(self, batch: Batch, topics: list[str]) -> None:
        """End a member's stay and return once its changes are durable."""
        error: Exception | None = None
        if batch.members > 1 and batch.broken is None:
            try:
                self._run("RELEASE member")
            except Exception as failure:  # noqa: BLE001 - told to every member by wait()
                error = failure
        batch.topics += topics
        self._pass_on(error)
        batch.wait()

    def withdraw(self, batch: Batch) -> None:
        """Undo one member's changes, and only those; the others go on."""
        if batch.members == 1:
            # Nobody came before and nobody can have come after: the turn is still here.
            self._discard(batch)
            return
        if batch.broken is None:
            try:
                self._run("ROLLBACK TO member")
                self._run("RELEASE member")
            except Exception as failure:  # noqa: BLE001 - told to every member by wait()
                # What should be undone is still in there, so nothing of it may be committed.
                batch.broken = failure
        self._pass_on(None)

    @contextmanager
    def alone(self, deadline: float) -> Iterator[sqlite3.Connection]:
        """Hold the gate without a transaction, for what is not a member's write."""
        self._take_turn(deadline)
        try:
            batch = self._batch
            if batch is not None:
                try:
                    self._end(batch)
                finally:
                    self._settle(batch)
            self._acquire(deadline)
            try:
                yield self.connection
            finally:
                self._roll_back()
                self._lock.release()
        finally:
            self._line.leave()
        self.sync()

    @property
    def connection(self) -> sqlite3.Connection:
        """The process's writing connection, for the holder of the turn."""
        if self._connection is None:
            with sqlite.translated(self._path):
                self._connection = sqlite.open_writer(self._path)
            self._presence.remember()
        return self._connection

    def check_files(self) -> None:
        """Return where database and log are those that are open here, if any are.

        Raises DatabaseReplaced, Busy.
        """
        self._presence.check()

    def is_used(self) -> bool:
        """Tell whether this process has the file open for writing."""
        return self._connection is not None

    def close(self, deadline: float, close_readers: Callable[[], None]) -> None:
        """Close every connection inside the gate; whoever still queues gets RuntimeError."""
        with self.alone(deadline):
            self._is_closed = True
            close_readers()
            self._drop_connection()
        self._lock.close()

    def forget(self) -> sqlite3.Connection | None:
        """After a fork: let go of what the parent holds without touching it."""
        self._lock.drop()
        self._log.close()
        connection, self._connection = self._connection, None
        return connection

    def _take_turn(self, deadline: float) -> None:
        place = self._line.enter()
        if place is None:
            return
        try:
            arrived = place.wait(max(0.0, deadline - time.monotonic()))
        except BaseException:
            if not self._line.step_out(place):
                self._pass_on(None)
            raise
        # A turn that arrived in the instant of giving up is used: a batch may hang on it.
        if not arrived and self._line.step_out(place):
            raise Busy

    def _acquire(self, deadline: float) -> None:
        if self._is_closed:
            raise RuntimeError("the database is closed")
        try:
            if self._connection is None:
                # A file that was there before is not made anew.
                self._presence.check()
                sqlite.create_file(self._path)
            self._lock.acquire(deadline)
            try:
                self._log.mend()
            except OSError:
                self._lock.release()
                raise
        except OSError as error:
            raise sqlite.of_os_error(error, self._path) from error

    def _begin(self, deadline: float) -> Batch:
        self._acquire(deadline)
        try:
            self._presence.check_sometimes(time.monotonic())
        except BaseException:
            # The connection stays open: closing it could delete the log of another file.
            self._lock.release()
            raise
        try:
            while True:
                try:
                    self._run("BEGIN IMMEDIATE")
                    self._log.open()
                    return Batch()
                except Busy as error:
                    # Another program holds SQLite's lock without knowing of the gate; SQLite
                    # has waited a while. Anything else would only fail again.
                    if not sqlite.is_lock(error.__cause__) or time.monotonic() >= deadline:
                        raise
                except OSError as error:
                    raise sqlite.of_os_error(error, self._path) from error
        except BaseException:
            self._drop_connection()
            self._lock.release()
            raise

    def _pass_on(self, error: BaseException | None) -> None:
        """Give the turn away, closing the batch first where nobody else will."""
        batch = self._batch
        if batch is None:
            self._line.leave()
            return
        if error is not None and batch.broken is None and not self._is_intact():
            batch.broken = error if isinstance(error, Exception) else TicketsError()
        if batch.broken is None and batch.has_room() and self._line.hand_over():
            return
        try:
            self._end(batch)
        finally:
            self._line.leave()
            self._settle(batch)

    def _end(self, batch: Batch) -> None:
        """Commit, and let other processes in; the turn stays with the caller, who settles."""
        self._batch = None
        try:
            if batch.broken is None:
                self._commit()
        except Exception as failure:  # noqa: BLE001 - told to every member by wait()
            batch.broken = failure
        except BaseException:
            # Interrupted around COMMIT: what SQLite says decides, not where we stopped.
            batch.broken = TicketsError() if self._is_intact() else None
            raise
        finally:
            if batch.broken is not None:
                self._drop_connection()
            elif batch.topics:
                self._wake(batch.topics)
            self._lock.release()

    def _settle(self, batch: Batch) -> None:
        """Tell the outcome to every member, once what was committed is durable."""
        error = batch.broken
        try:
            if error is None:
                self.sync()
        except Exception as failure:  # noqa: BLE001 - told to every member by wait()
            error = failure
        except BaseException:
            error = TicketsError()
            raise
        finally:
            batch.settle(error)

    def sync(self) -> None:
        """Return once everything committed so far is durable, whichever process wrote it.

        Raises Busy or StorageFull: then what was committed is there, and may be lost when the
        power fails.
        """
        if not self._is_durable:
            return
        try:
            with FLOOR.away:
                self._log.sync()
        except OSError as error:
            raise sqlite.of_os_error(error, self._path) from error

    def _discard(self, batch: Batch) -> None:
        """Undo a batch of one member, who has the exception already."""
        self._batch = None
        try:
            if batch.broken is not None:
                self._drop_connection()
            else:
                self._roll_back()
        finally:
            self._lock.release()
            self._line.leave()

    def _commit(self) -> None:
        with FLOOR.away:
            self._run("COMMIT")

    def _run(self, sql: str) -> None:
        try:
            self.connection.execute(sql)
        except sqlite.DRIVER_ERRORS as error:
            raise sqlite.translate(error, self._path) from error

    def _wake(self, topics: list[str]) -> None:
        if self._publish is None:
            return
        try:
            self._publish(topics)
        except Exception:  # noqa: BLE001 - whatever it is
            # The rows are committed: who waits for them finds them at the latest when its
            # wait ends, and the writers must not be told that they failed.
            _log.exception("wake-ups could not be published")

    def _is_intact(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    def _roll_back(self) -> None:
        if not self._is_intact():
            return
        try:
            self._run("ROLLBACK")
        except Exception:  # noqa: BLE001 - closing rolls back too
            self._drop_connection()

    def _drop_connection(self) -> None:
        """Close a connection that failed: the next writer starts with a fresh one.

        It rolls back what is open, and a database file that was replaced or a file system
        that came back is found again without a restart.
        """
        self._log.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
