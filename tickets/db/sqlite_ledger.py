"""The record of migrations in a SQLite file, and how one is applied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from tickets.db.database import Migration
from tickets.db.errors import MigrationError

_CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    product TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL,
    PRIMARY KEY (product, number)
) STRICT"""


class SqliteLedger:
    """For whoever holds the gate, as long as that is held."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def check_ours(self) -> None:
        """Return where the file is empty or was made by these migrations."""
        tables = {
            name
            for (name,) in self._connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
                " AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
            )
        }
        if not tables or "schema_migrations" in tables:
            return
        if {"pipelines", "leases"} <= tables:
            raise MigrationError(
                f"{self._path} is a nullTickets database; bring its rows into a new file with:"
                f" tickets import-nulltickets {self._path} --db tickets.db"
            )
        raise MigrationError(f"{self._path} is the database of another program")

    def applied(self) -> list[tuple[str, int, str, str]]:
        """Return product, number, name and checksum of each migration that was applied."""
        self._connection.execute(_CREATE_LEDGER)
        return applied(self._connection)

    def apply(self, migrations: list[Migration], now_ms: int) -> None:
        """Run each file in a transaction with the row that says so."""
        if not migrations:
            return
        # A table is rebuilt by copying and dropping it, and dropping would cascade.
        # The switch has no effect inside a transaction; each migration is checked.
        self._connection.execute("PRAGMA foreign_keys = OFF")
        try:
            for migration in migrations:
                _apply(self._connection, migration, now_ms)
        finally:
            self._connection.execute("PRAGMA foreign_keys = ON")


def applied(connection: sqlite3.Connection) -> list[tuple[str, int, str, str]]:
    """Return product, number, name and checksum of each migration that was applied."""
    exists = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'"
    ).fetchone()[0]
    if not exists:
        return []
    return connection.execute(
        "SELECT product, number, name, checksum FROM schema_migrations ORDER BY product, number"
    ).fetchall()


def _apply(connection: sqlite3.Connection, migration: Migration, now_ms: int) -> None:
    """Run one file and record it, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(migration):
            connection.execute(statement).fetchall()
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise MigrationError(f"{migration.path} leaves rows without their parent: {broken}")
        connection.execute(
            "INSERT INTO schema_migrations (product, number, name, checksum, applied_at_ms)"
            " VALUES (?, ?, ?, ?, ?)",
            migration.record(now_ms),
        )
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _undo(connection)
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR:
            raise MigrationError(f"{migration.path}: {error}") from error
        raise
    except BaseException:
        _undo(connection)
        raise


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _statements(migration: Migration) -> Iterator[str]:
    """Yield the statements of a file one by one, triggers whole."""
    pending_lines: list[str] = []
    for line in migration.sql.splitlines(keepends=True):
        pending_lines.append(line)
        text = "".join(pending_lines)
        if line.rstrip().endswith(";") and sqlite3.complete_statement(text):
            yield text
            pending_lines = []
    rest = "".join(pending_lines)
    if not _is_blank(rest):
        raise MigrationError(f"{migration.path}: the last statement does not end in ';'")


def _is_blank(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith("--") for line in lines)
