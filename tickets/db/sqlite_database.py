"""One SQLite file as a database: a gate for writers, a connection for each reading thread."""

from __future__ import annotations

import atexit
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tickets.db import sqlite
from tickets.db.database import Engine, Observer, Reading
from tickets.db.gate import Gate
from tickets.db.process import UNCLOSED, Process
from tickets.db.registry import Registry
from tickets.db.sqlite import Durability
from tickets.db.sqlite_ledger import SqliteLedger, applied
from tickets.db.sqlite_tables import SqliteTables
from tickets.db.sqlite_transaction import SqliteTransaction
from tickets.db.transaction import Transaction
from tickets.db.wakeups import Wakeups
from tickets.errors import TicketsError

# Waits for readers during a truncating checkpoint: writers queue meanwhile.
_TRUNCATE_PATIENCE_MS: Final = 200
# Four megabytes: the log stays in the page cache and a checkpoint holds writers for little. No
# less than a log keeps when it begins anew, or every period would have one.
CHECKPOINT_WAL_BYTES: Final = sqlite.KEPT_LOG_BYTES
# Two connections that write or checkpoint at the same instant can corrupt a WAL file.
# Source: https://sqlite.org/wal.html, section "The WAL-Reset Bug".
_WAL_RESET_FIRST: Final = (3, 7, 0)
_WAL_RESET_FIXED: Final = (3, 51, 3)
_WAL_WARNING: Final = (
    "this version can corrupt a WAL file when two connections write at once;"
    " the service queues its writes, so do not open the file with other tools"
)


class Checkpoint(NamedTuple):
    """What a checkpoint did; ``complete`` is False while readers hold parts of the log."""

    complete: bool
    wal_pages: int
    moved_pages: int


class SqliteDatabase:
    """One SQLite file. Blocks of one thread nest; nothing is opened before first use.

    ``busy_timeout_ms`` bounds how long a block waits for its turn before it raises Busy.
    """

    def __init__(
        self,
        path: str,
        *,
        registry: Registry,
        durability: Durability = "full",
        busy_timeout_ms: int = 5000,
        wakeups: Wakeups | None = None,
    ) -> None:
        sqlite.check_path(path)
        self.path = path
        self._registry = registry
        self._durability: Durability = durability
        self._busy_timeout_ms = busy_timeout_ms
        self._wakeups = wakeups
        self.observer: Observer | None = None
        self._process = self._new_process()
        _OPEN.add(self)

    @property
    def wakeups(self) -> Wakeups:
        """The wake-ups that commits here publish."""
        assert self._wakeups is not None, "given by whoever serves long polls"
        return self._wakeups

    @property
    def dialect(self) -> str:
        """The name of its statements and migrations."""
        return "sqlite"

    @property
    def engine(self) -> Engine:
        """The SQLite library in use."""
        return Engine("sqlite", sqlite3.sqlite_version)

    @contextmanager
    def write(self, patience_ms: int | None = None) -> Iterator[SqliteTransaction]:
        """Run the block in a write transaction that is durable once the block is left.

        Inside another write() of this thread it is a savepoint of that one. Raises Busy
        where the gate did not open within ``patience_ms``, StorageFull, and RuntimeError
        inside a read(), which could not be upgraded.
        """
        process = self._process
        outer = process.here.transaction
        if outer is not None:
            if not outer.writable:
                raise RuntimeError("a write() cannot start inside a read()")
            with outer.savepoint():
                yield outer
            return
        if process.is_closed:
            raise RuntimeError("the database is closed")
        moments = [time.perf_counter()]
        counts: list[tuple[tuple[str, ...], int]] = []
        try:
            batch = process.gate.join(self._deadline(patience_ms))
            moments.append(time.perf_counter())
            tx = SqliteTransaction(process.gate.connection, self._registry, self.path, batch)
            process.here.transaction = tx
            try:
                yield tx
            except BaseException:
                self._end(process, tx)
                process.gate.withdraw(batch)
                raise
            self._end(process, tx)
            moments.append(time.perf_counter())
            process.gate.leave(batch, tx.topics)
            counts = tx.counts
        finally:
            # The gate is behind us, so nobody waits for this.
            if self.observer is not None:
                moments.append(time.perf_counter())
                self.observer.wrote(moments, counts)

    @contextmanager
    def read(self) -> Iterator[SqliteTransaction]:
        """Run the block on one consistent view, or on that of the block around it."""
        process = self._process
        outer = process.here.transaction
        if outer is not None:
            yield outer
            return
        self._check_open(process)
        reader = process.reader(self.path, self._busy_timeout_ms)
        with reader.in_use:
            self._check_open(process)
            tx = SqliteTransaction(reader.connection, self._registry, self.path)
            with sqlite.translated(self.path):
                reader.connection.execute("BEGIN")
            process.here.transaction = tx
            try:
                yield tx
            finally:
                self._end(process, tx)
                with sqlite.translated(self.path):
                    if reader.connection.in_transaction:
                        reader.connection.execute("ROLLBACK")

    def sync(self) -> None:
        """Return once everything that reads have shown so far is durable.

        For what a client keeps, and would be wrong about after a power cut. Raises Busy,
        StorageFull.
        """
        self._process.gate.sync()

    @contextmanager
    def exclusive(self, patience_ms: int | None = None) -> Iterator[sqlite3.Connection]:
        """Hold the gate over several transactions; nobody else writes meanwhile.

        Driver errors are translated, also where they end the block.
        """
        process = self._process
        assert process.here.transaction is None, "exclusive() cannot start inside a block"
        self._check_open(process)
        deadline = self._deadline(patience_ms)
        with process.gate.alone(deadline) as connection, sqlite.translated(self.path):
            yield connection

    def checkpoint(self, *, truncate: bool = False) -> Checkpoint:
        """Move the log into the database; ``truncate`` also gives its disk space back."""
        with self.exclusive() as connection:
            if not truncate:
                row = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                return Checkpoint(row[1] == row[2], row[1], row[2])
            connection.execute(f"PRAGMA busy_timeout = {_TRUNCATE_PATIENCE_MS}")
            try:
                row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {sqlite.WRITER_STEP_MS}")
            return Checkpoint(row[0] == 0, row[1], row[2])

    def wal_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def file_bytes(self) -> int:
        """Return the size of the database file, without its log."""
        try:
            return Path(self.path).stat().st_size
        except FileNotFoundError:
            return 0

    def free_bytes(self) -> int:
        """Return how much space its file system has for it."""
        room = os.statvfs(Path(self.path).parent)
        return room.f_bavail * room.f_frsize

    def tend(self) -> None:
        """Move a grown log into the database, off the way of any request."""
        if self.wal_bytes() > CHECKPOINT_WAL_BYTES:
            self.checkpoint()

    def readings(self) -> list[Reading]:
        """Return how large it is, and how large it may become."""
        return [
            Reading("tickets_wal_bytes", "Size of the write-ahead log.", self.wal_bytes()),
            Reading(
                "tickets_database_bytes",
                "Size of the database without its log.",
                self.file_bytes(),
            ),
            Reading(
                "tickets_disk_free_bytes", "Space left beside the database.", self.free_bytes()
            ),
        ]

    def remarks(self) -> list[str]:
        """Return what to know of the SQLite library in use."""
        if not wal_can_break(sqlite3.sqlite_version):
            return []
        return [_WAL_WARNING]

    def tables(self, tx: Transaction) -> SqliteTables:
        """Return every table there is, for a copy inside a write block of this database."""
        assert isinstance(tx, SqliteTransaction), "a block of another database"
        return SqliteTables(tx)

    @contextmanager
    def ledger(self) -> Iterator[SqliteLedger]:
        """Hold the gate, and with it the record of migrations."""
        with self.exclusive() as connection:
            yield SqliteLedger(self.path, connection)

    def applied(self) -> list[tuple[str, int, str, str]]:
        """Return product, number, name and checksum of each migration that was applied."""
        with self.read() as tx, tx.raw() as connection:
            return applied(connection)

    def backup(self, target: Path) -> None:
        """Write a consistent copy, complete or not at all, while writers go on.

        Raises ValueError where ``target`` is this database, Busy where its folder cannot be
        written to, StorageFull.
        """
        if target.exists() and target.samefile(self.path):
            raise ValueError("a database cannot be its own backup")
        partial = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            with self.read() as tx, tx.raw() as connection:
                sqlite.copy(connection, partial)
            partial.replace(target)
            sqlite.sync(target.parent)
        except OSError as error:
            folder = f"The folder {target.parent} for the backup"
            raise sqlite.of_os_error(error, str(target), folder) from error
        finally:
            # Where nothing could be made, nothing can be removed either.
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def integrity_check(self) -> list[str]:
        """Return every problem found in the file; an empty list is good news."""
        try:
            with self.read() as tx, tx.raw() as connection:
                return sqlite.problems(connection)
        except TicketsError as error:
            return [error.text]

    def ping(self) -> None:
        """Read one page of the file; raises what keeps it from being used."""
        with self.read() as tx, tx.raw() as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        self._process.gate.check_files()

    def close(self) -> None:
        """Close every connection, inside the gate: the last one to go writes.

        A block still running in another thread keeps its connection until the process
        ends. Closing twice is allowed.
        """
        process = self._process
        with process.mutex:
            if process.is_closed:
                return
            process.is_closed = True
        _OPEN.discard(self)
        if not process.readers and not process.gate.is_used():
            return
        try:
            process.gate.close(self._deadline(None), process.close_readers)
        except TicketsError:
            UNCLOSED.append(process)
            raise

    def after_fork(self) -> None:
        """Start anew in a forked process, leaving the parent's connections untouched."""
        inherited, self._process = self._process, self._new_process()
        UNCLOSED.append((inherited, inherited.gate.forget()))

    def _new_process(self) -> Process:
        publish = self._wakeups.publish if self._wakeups is not None else None
        return Process(Gate(self.path, self._durability, publish))

    def _deadline(self, patience_ms: int | None) -> float:
        patience = self._busy_timeout_ms if patience_ms is None else patience_ms
        return time.monotonic() + patience / 1000

    def _end(self, process: Process, tx: SqliteTransaction) -> None:
        tx.end()
        process.here.transaction = None
        if process is not self._process:
            raise RuntimeError("the process was forked inside a block")

    def _check_open(self, process: Process) -> None:
        if process.is_closed:
            raise RuntimeError("the database is closed")
        if not process.is_ready:
            # The writing connection comes first and goes last: it puts the file into WAL
            # mode, and while it is open no reader's end is the end of the log.
            with process.gate.alone(self._deadline(None)):
                process.is_ready = True


def wal_can_break(sqlite_version: str) -> bool:
    """Return whether this SQLite has the bug that makes unqueued writers dangerous."""
    version = tuple(int(part) for part in sqlite_version.split(".")[:3])
    return _WAL_RESET_FIRST <= version < _WAL_RESET_FIXED


# Strong references: a database that was forgotten is closed at exit, inside its gate, and not
# by the collector, outside of it.
_OPEN: set[SqliteDatabase] = set()


def _after_fork_in_child() -> None:
    for database in list(_OPEN):
        database.after_fork()


def _close_all() -> None:
    for database in list(_OPEN):
        with suppress(TicketsError):
            database.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
