"""All that is in a database, as one short text."""

from __future__ import annotations

import hashlib
import sqlite3

from tickets.db.sqlite_database import SqliteDatabase


def digest(db: SqliteDatabase) -> str:
    """Return a digest of the schema and of every row, those that SQLite keeps among them."""
    with db.read() as tx, tx.raw() as connection:
        return digest_of(connection)


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
