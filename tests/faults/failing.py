"""Writing connections whose statements can be made to fail, one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from tickets.db import sqlite
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy, StorageFull


@dataclass(frozen=True)
class Failure:
    """A way to fail, and what a caller is told then."""

    name: str
    error: Exception
    told: type[Exception]
    # After some errors SQLite undoes the whole transaction by itself.
    rolls_back: bool = False
    # Whether all that comes later fails too, the undoing among it.
    lasts: bool = False


def _driver(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as if the disk said so")
    error.sqlite_errorcode = code
    return error


FAILURES = (
    Failure("I/O error", _driver(sqlite3.SQLITE_IOERR_WRITE), Busy),
    Failure("full disk", _driver(sqlite3.SQLITE_FULL), StorageFull, rolls_back=True),
    Failure("disk gone", _driver(sqlite3.SQLITE_IOERR_READ), Busy, lasts=True),
    Failure("our mistake", RuntimeError("as if we were wrong"), RuntimeError),
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

    def check(self, connection: sqlite3.Connection, sql: str) -> None:
        """Raise what is planned for this statement."""
        if self.failure is None:
            return
        self.statements.append(sql)
        if self.failed is not None:
            if self.failure.lasts:
                raise self.failure.error
        elif self.is_due(len(self.statements), sql):
            self.failed = sql
            if self.failure.rolls_back and connection.in_transaction:
                sqlite3.Connection.execute(connection, "ROLLBACK")
            raise self.failure.error


@contextmanager
def failing() -> Iterator[Plan]:
    """Let the databases that are opened inside the block write as planned."""
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


def writer_of(db: SqliteDatabase) -> sqlite3.Connection:
    """Return the writing connection, open and outside of any transaction."""
    with db.write():
        pass
    return db._process.gate.connection
