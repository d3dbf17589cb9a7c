"""All that is in a database, as one short text."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from tickets.db.database import Database


def digest(db: Database) -> str:
    """Return a digest of every row; with SQLite also of the schema, and of rows of its own."""
    with db.read() as tx, tx.raw() as connection:
        found = digest_of if db.dialect == "sqlite" else _digest_on_server
        return found(connection)


def _digest_on_server(connection: Any) -> str:
    found = hashlib.sha256()
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
    for (name,) in connection.execute(tables).fetchall():
        rows = f'SELECT CAST(t AS TEXT) COLLATE "C" FROM "{name}" AS t ORDER BY 1'
        found.update(repr((name, connection.execute(rows).fetchall())).encode())
    return found.hexdigest()


def digest_of(connection: sqlite3.Connection) -> str:
    """Return the digest of a database that a connection has open."""
    found = hashlib.sha256()
    schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
    for kind, name, sql in connection.execute(schema).fetchall():
        found.update(repr((kind, name, sql)).encode())
        if kind == "table":
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
            found.update(repr(rows).encode())
    return found.hexdigest()
