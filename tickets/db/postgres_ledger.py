"""The record of migrations in a PostgreSQL database, and how one is applied."""

from __future__ import annotations

from typing import Final

import psycopg

from tickets.db import postgres
from tickets.db.database import Migration
from tickets.db.errors import MigrationError

# Any number will do that all versions of the service agree on.
_LOCK: Final = 0x7469_636B

_CREATE_LEDGER: Final = """
CREATE TABLE schema_migrations (
    product TEXT NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms BIGINT NOT NULL,
    PRIMARY KEY (product, number)
)"""
_TABLES: Final = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
)


class PostgresLedger:
    """Held in one transaction, from the first look to the last migration; others wait.

    All that is missing is applied, or nothing. A lock of the session would not do: behind a
    pooler it would stay with a connection to the server that is nobody's.
    """

    def __init__(self, connection: postgres.Connection) -> None:
        self._connection = connection
        connection.execute(
            # Nothing may have been seen before the lock is had.
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;"
            "SET LOCAL idle_in_transaction_session_timeout = 0;"
            # What a database allows to a request is not enough for an index.
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
            f"SELECT pg_advisory_xact_lock({_LOCK})",
            prepare=False,
        )

    def check_ours(self) -> None:
        """Return where the database is empty or was made by these migrations."""
        encoding = self._connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise MigrationError(f"the database has the encoding {encoding}; it must be UTF8")
        tables = self._tables()
        if tables and "schema_migrations" not in tables:
            raise MigrationError(
                f"{self._connection.info.dbname} is the database of another program"
            )

    def _tables(self) -> set[str]:
        return {name for (name,) in self._connection.execute(_TABLES)}

    def applied(self) -> list[tuple[str, int, str, str]]:
        """Return product, number, name and checksum of each migration that was applied."""
        if "schema_migrations" not in self._tables():
            # Not asked for where it is there: that would want the right to create tables.
            self._connection.execute(_CREATE_LEDGER)
        return applied(self._connection)

    def apply(self, migrations: list[Migration], now_ms: int) -> None:
        """Run each file in a transaction with the row that says so."""
        for migration in migrations:
            try:
                with self._connection.transaction():
                    self._connection.execute(migration.sql.encode(), prepare=False)
                    self._connection.execute(
                        "INSERT INTO schema_migrations"
                        " (product, number, name, checksum, applied_at_ms)"
                        " VALUES (%s, %s, %s, %s, %s)",
                        migration.record(now_ms),
                    )
            except (psycopg.ProgrammingError, psycopg.IntegrityError) as error:
                raise MigrationError(f"{migration.path}: {error}") from error


def applied(connection: postgres.Connection) -> list[tuple[str, int, str, str]]:
    """Return product, number, name and checksum of each migration that was applied."""
    if "schema_migrations" not in {name for (name,) in connection.execute(_TABLES)}:
        return []
    rows = connection.execute(
        "SELECT product, number, name, checksum FROM schema_migrations ORDER BY product, number"
    ).fetchall()
    return [(str(row[0]), int(row[1]), str(row[2]), str(row[3])) for row in rows]
