"""Named statements on one connection to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg.pq import TransactionStatus

from tickets.db import postgres
from tickets.db.postgres_pool import Link
from tickets.db.registry import Registry, Statement
from tickets.db.transaction import Row, Transaction
from tickets.floor import FLOOR


class PostgresTransaction(Transaction):
    """One transaction; ``texts`` are the statements as the driver wants them."""

    def __init__(
        self, link: Link, registry: Registry, texts: Mapping[str, bytes], *, writable: bool
    ) -> None:
        super().__init__(registry)
        self._link = link
        self._texts = texts
        self._writable = writable
        self._failure: Exception | None = None

    @property
    def writable(self) -> bool:
        """Whether this is a write block's transaction."""
        return self._writable

    @property
    def is_alone(self) -> bool:
        """Only in a read block, which has one view."""
        return not self._writable

    def one(self, name: str, /, **params: object) -> Row | None:
        """Return the first row, or None."""
        row: Row | None = self._rows(self._statement(name, "one"), params).fetchone()
        return row

    def many(self, name: str, /, **params: object) -> list[Row]:
        """Return every row."""
        rows: list[Row] = self._rows(self._statement(name, "many"), params).fetchall()
        return rows

    def value(self, name: str, /, **params: object) -> Any:
        """Return the first column of the first row, or None."""
        row = self._plain(self._statement(name, "value"), params).fetchone()
        return None if row is None else row[0]

    def run(self, name: str, /, **params: object) -> int:
        """Return the number of rows written."""
        count: int = self._plain(self._statement(name, "run"), params).rowcount
        return count

    def run_many(self, name: str, /, params: Iterable[Mapping[str, object]]) -> int:
        """Run a statement once for each set of parameters; return the rows written."""
        statement = self._statement(name, "run")
        cursor = self._link.plain
        with self._told(statement.name), FLOOR.away:
            cursor.executemany(self._texts[statement.name], params)
        return max(0, cursor.rowcount)

    def hold(self, name: str, /, **params: object) -> None:
        """Take the locks of a statement until the end of the transaction."""
        if self._writable:
            self._plain(self._statement(name, "run"), params)

    @contextmanager
    def raw(self, doing: str = "") -> Iterator[postgres.Connection]:
        """Give the rest of this package the connection; driver errors are translated."""
        with self._told(doing):
            yield self._link.connection

    def failure(self) -> Exception | None:
        """Return what failed, where PostgreSQL will commit nothing because of it."""
        status = self._link.connection.info.transaction_status
        return None if status == TransactionStatus.INTRANS else self._failure

    def _rows(self, statement: Statement, params: Mapping[str, object]) -> Any:
        return self._execute(self._link.rows, statement, params)

    def _plain(self, statement: Statement, params: Mapping[str, object]) -> Any:
        return self._execute(self._link.plain, statement, params)

    def _execute(self, cursor: Any, statement: Statement, params: Mapping[str, object]) -> Any:
        with self._told(statement.name), FLOOR.away:
            return cursor.execute(self._texts[statement.name], params)

    def _control(self, sql: str) -> None:
        with self._told(sql):
            self._link.control(sql)

    def _can_undo(self) -> bool:
        return not self._link.is_lost()

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        assert self._open, "the block of this transaction has ended"
        try:
            yield
        except postgres.DRIVER_ERRORS as error:
            self._failure = postgres.translate(error, doing)
            if getattr(error, "sqlstate", None) in postgres.USELESS_AFTER:
                self._link.is_useless = True
            raise self._failure from error
