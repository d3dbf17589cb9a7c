"""Databases whose statements can be made to fail, one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import psycopg

from tests import databases
from tickets.db import postgres, sqlite
from tickets.db.database import Database
from tickets.db.postgres_database import PostgresDatabase
from tickets.db.postgres_pool import Link
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy, StorageFull, TicketsError

FULL = "DO $$BEGIN RAISE 'as if the disk said so' USING ERRCODE = 'disk_full'; END$$"


@dataclass(frozen=True)
class Failure:
    """A way to fail, done to a connection, and what a caller is told then."""

    name: str
    happen: Callable[[Any], object]
    told: type[Exception]
    # After some errors the whole transaction is undone, or its connection lost.
    rolls_back: bool = False
    # Whether all that comes later fails too, the undoing among it.
    lasts: bool = False


def _of_sqlite(
    code: int, *, rolls_back: bool = False
) -> Callable[[sqlite3.Connection], object]:
    def happen(connection: sqlite3.Connection) -> object:
        error = sqlite3.OperationalError("as if the disk said so")
        error.sqlite_errorcode = code
        if rolls_back and connection.in_transaction:
            sqlite3.Connection.execute(connection, "ROLLBACK")
        raise error

    return happen


def _of_server(sql: str) -> Callable[[psycopg.Connection[Any]], object]:
    """Let the server itself fail, so that what it does to the transaction is real."""
    return lambda connection: psycopg.Cursor(connection).execute(sql.encode(), prepare=False)


def _mistake(_: object) -> object:
    raise RuntimeError("as if we were wrong")


OURS = Failure("our mistake", _mistake, RuntimeError)
FAILURES_OF = {
    databases.SQLITE: (
        Failure("I/O error", _of_sqlite(sqlite3.SQLITE_IOERR_WRITE), Busy),
        Failure(
            "full disk",
            _of_sqlite(sqlite3.SQLITE_FULL, rolls_back=True),
            StorageFull,
            rolls_back=True,
        ),
        Failure("disk gone", _of_sqlite(sqlite3.SQLITE_IOERR_READ), Busy, lasts=True),
        OURS,
    ),
    databases.POSTGRES: (
        # Whatever it is, the server refuses all that comes later in the transaction.
        Failure("full disk", _of_server(FULL), StorageFull),
        OURS,
    ),
}
FAILURES = FAILURES_OF[databases.Kind.chosen]
# Work that is not told of it is done anew: only PostgreSQL is at the end of a line.
LOST = Failure(
    "lost connection",
    _of_server("SELECT pg_terminate_backend(pg_backend_pid())"),
    # Before the end that it may be done anew, and at the end that nobody knows.
    TicketsError,
    rolls_back=True,
)


@dataclass
class Plan:
    """Which statement fails, and what has been run since that was decided."""

    failure: Failure | None = None
    is_due: Callable[[int, str], bool] = lambda number, sql: False
    statements: list[str] = field(default_factory=list)
    failed: str | None = None

    def at(self, number: int, failure: Failure) -> None:
        """Let the statement of this number, from 1, fail."""
        self.when(lambda count, _: count == number, failure)

    def when(self, is_due: Callable[[int, str], bool], failure: Failure) -> None:
        """Let the first statement fail of which this is true."""
        self.statements, self.failed = [], None
        self.failure, self.is_due = failure, is_due

    def stop(self) -> str | None:
        """Let everything succeed again; return the statement that failed."""
        self.failure = None
        return self.failed

    def check(self, connection: Any, sql: str) -> None:
        """Let happen what is planned for this statement."""
        if self.failure is None:
            return
        self.statements.append(sql)
        if self.failed is not None:
            if self.failure.lasts:
                self.failure.happen(connection)
        elif self.is_due(len(self.statements), sql):
            self.failed = sql
            self.failure.happen(connection)


def failing() -> AbstractContextManager[Plan]:
    """Let the databases that are opened inside the block write as planned."""
    return _failing_files() if databases.Kind.chosen == databases.SQLITE else _failing_server()


@contextmanager
def _failing_files() -> Iterator[Plan]:
    plan = Plan()

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            plan.check(self, sql)
            return super().execute(sql, *parameters)

        def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            plan.check(self, sql)
            return super().executemany(sql, *parameters)

    def connect(path: str, timeout_ms: int) -> sqlite3.Connection:
        # Readers have another timeout: that of the service.
        if timeout_ms != sqlite.WRITER_STEP_MS:
            return really_connect(path, timeout_ms)
        with mock.patch.object(sqlite3, "connect", connect_writer):
            return really_connect(path, timeout_ms)

    def connect_writer(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return Connection(*arguments, **options)

    really_connect = sqlite._connect
    with mock.patch.object(sqlite, "_connect", connect):
        yield plan


class _Server:
    """Tells a plan of what is written to a server; what is only read is not counted."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Connections in a read block.
        self.reading: set[int] = set()

    def check(self, connection: Any, statement: str | bytes) -> None:
        sql = statement if isinstance(statement, str) else statement.decode()
        if sql == "ROLLBACK":
            self.reading.discard(id(connection))
        elif "READ ONLY" in sql:
            self.reading.add(id(connection))
        elif id(connection) not in self.reading and "pg_notify" not in sql:
            # Wake-ups are sent by a thread of their own, and are hints.
            self._plan.check(connection, sql)


@contextmanager
def _failing_server() -> Iterator[Plan]:
    plan = Plan()
    server = _Server(plan)

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            server.check(self.connection, query)
            return super().execute(query, *arguments, **options)

        def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
            server.check(self.connection, query)
            super().executemany(query, *arguments, **options)

    def control(link: Link, sql: str) -> None:
        # What begins and ends a transaction goes past the cursors.
        server.check(link.connection, sql)
        really_control(link, sql)

    def connect(*arguments: Any, **options: Any) -> postgres.Connection:
        connection = really_connect(*arguments, **options)
        connection.cursor_factory = Cursor
        server.reading.discard(id(connection))
        return connection

    really_connect, really_control = postgres.connect, Link.control
    with (
        mock.patch.object(postgres, "connect", connect),
        mock.patch.object(Link, "control", control),
    ):
        yield plan


def writer_of(db: Database) -> Any:
    """Return the connection that the next write uses, open and outside of any transaction."""
    with db.write():
        pass
    if isinstance(db, PostgresDatabase):
        return db._pool._idle[-1].connection
    assert isinstance(db, SqliteDatabase)
    return db._process.gate.connection


def outcome(
    db: Database, plan: Plan, work: Callable[[], object], number: int, failure: Failure
) -> str | None:
    """Work with one failing statement; return it, None where there are not so many."""
    writer = writer_of(db)
    plan.at(number, failure)
    try:
        work()
    except failure.told:
        failed = plan.stop()
        assert failed is not None
    else:
        failed = plan.stop()
        assert failed is None, f"nobody was told that this failed: {failed}"
    # A connection is given up where nobody knows what became of its transaction.
    if failed != "COMMIT" and not failure.rolls_back and not failure.lasts:
        assert writer_of(db) is writer
    return failed
