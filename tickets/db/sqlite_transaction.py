"""Named statements on one connection to SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tickets.db import sqlite
from tickets.db.batch import Batch
from tickets.db.registry import Registry, Statement
from tickets.db.transaction import Row, Transaction


class SqliteTransaction(Transaction):
    """One transaction, or one member's part of a transaction that several share.

    All rows are fetched at once: SQLite refuses to commit while a ``RETURNING`` statement
    has rows left.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        registry: Registry,
        path: str,
        batch: Batch | None = None,
    ) -> None:
        super().__init__(registry)
        self._connection = connection
        self._path = path
        self._batch = batch

    @property
    def writable(self) -> bool:
        """Whether this is a write block's transaction."""
        return self._batch is not None

    @property
    def is_alone(self) -> bool:
        """Always: there is one writer at a time."""
        return True

    def one(self, name: str, /, **params: object) -> Row | None:
        """Return the first row, or None."""
        rows = self._rows(self._statement(name, "one"), params)
        return rows[0] if rows else None

    def many(self, name: str, /, **params: object) -> list[Row]:
        """Return every row."""
        return self._rows(self._statement(name, "many"), params)

    def value(self, name: str, /, **params: object) -> Any:
        """Return the first column of the first row, or None."""
        _, rows = self._execute(self._statement(name, "value"), params)
        return rows[0][0] if rows else None

    def run(self, name: str, /, **params: object) -> int:
        """Return the number of rows written."""
        cursor, _ = self._execute(self._statement(name, "run"), params)
        if cursor.rowcount >= 0:
            return cursor.rowcount
        # The driver counts only for statements that begin with INSERT, UPDATE, DELETE or
        # REPLACE; one that begins with WITH is counted by SQLite.
        return int(self._connection.execute("SELECT changes()").fetchone()[0])

    def run_many(self, name: str, /, params: Iterable[Mapping[str, object]]) -> int:
        """Run a statement once for each set of parameters; return the rows written."""
        statement = self._statement(name, "run")
        with self.raw(name) as connection:
            cursor = connection.executemany(statement.sql, params)
        assert cursor.rowcount >= 0, f"{name} does not begin with INSERT, UPDATE or DELETE"
        return cursor.rowcount

    def hold(self, name: str, /, **params: object) -> None:
        """Do nothing: whoever is in here is the only writer there is."""

    @contextmanager
    def raw(self, doing: str = "") -> Iterator[sqlite3.Connection]:
        """Give the rest of this package the connection; driver errors are translated."""
        self._check()
        try:
            yield self._connection
        except sqlite.DRIVER_ERRORS as error:
            raise self._failed(error, doing) from error

    def _rows(self, statement: Statement, params: Mapping[str, object]) -> list[Row]:
        cursor, rows = self._execute(statement, params)
        if not rows:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _execute(
        self, statement: Statement, params: Mapping[str, object]
    ) -> tuple[sqlite3.Cursor, list[Any]]:
        self._check()
        try:
            cursor = self._connection.execute(statement.sql, params)
            return cursor, cursor.fetchall()
        except sqlite.DRIVER_ERRORS as error:
            raise self._failed(error, statement.name) from error

    def _control(self, sql: str) -> None:
        with self.raw(sql) as connection:
            connection.execute(sql)

    def _can_undo(self) -> bool:
        return self._connection.in_transaction

    def _check(self) -> None:
        assert self._open, "the block of this transaction has ended"
        if self._batch is not None and self._batch.broken is not None:
            # SQLite rolled everything back: a statement would run, and stay, by itself.
            raise self._batch.broken

    def _failed(self, error: Exception, doing: str) -> Exception:
        translated = sqlite.translate(error, self._path, doing)
        if self._batch is not None and not self._connection.in_transaction:
            self._batch.broken = translated
        return translated
