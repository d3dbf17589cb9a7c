"""Numbered schema changes, applied once each, in order, checked on every start."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tickets.db.database import Database

_FILE = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.(?P<dialect>sqlite|postgres)\.sql")
_CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    product TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL,
    PRIMARY KEY (product, number)
) STRICT"""


class MigrationError(Exception):
    """The database and the migration files do not belong together; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration file; its label is ``<product>/<number>_<name>``."""

    product: str
    number: int
    name: str
    path: Path
    sql: str
    checksum: str

    @property
    def label(self) -> str:
        """How the migration is called in answers and errors."""
        return f"{self.product}/{self.number:04}_{self.name}"


def migrate(db: Database, root: Path, now_ms: int) -> list[str]:
    """Apply what is missing and return its labels, in the order applied.

    Several processes may call this at once: one of them applies, the others wait and find
    nothing left. Raises MigrationError; whatever was applied before it stays applied.
    """
    migrations = _read(root)
    with db.exclusive() as connection:
        _check_ours(db.path, connection)
        connection.execute(_CREATE_LEDGER)
        missing = _missing(connection, migrations)
        if missing:
            # A table is rebuilt by copying and dropping it, and dropping would cascade.
            # The switch has no effect inside a transaction; each migration is checked.
            connection.execute("PRAGMA foreign_keys = OFF")
            try:
                for migration in missing:
                    _apply(connection, migration, now_ms)
            finally:
                connection.execute("PRAGMA foreign_keys = ON")
        return [migration.label for migration in missing]


def pending(db: Database, root: Path) -> list[str]:
    """Return the labels of what migrate() would apply; raises MigrationError as it would."""
    migrations = _read(root)
    with db.read() as tx, tx.raw() as connection:
        return [each.label for each in _missing(connection, migrations)]


def _read(root: Path) -> list[Migration]:
    """Return the migrations of every product; each product counts from 1 without gaps."""
    found: list[Migration] = []
    for folder in sorted(root.glob("*/migrations")):
        product = folder.parent.name
        number = 0
        for path in sorted(folder.glob("*.sql")):
            parts = _FILE.fullmatch(path.name)
            if parts is None:
                raise MigrationError(f"{path}: not named <number>_<name>.<dialect>.sql")
            if parts["dialect"] != "sqlite":
                continue
            number += 1
            if int(parts["number"]) != number:
                raise MigrationError(f"{path}: number {number:04} is missing or there twice")
            sql = path.read_text(encoding="utf-8")
            found.append(
                Migration(
                    product=product,
                    number=number,
                    name=parts["name"],
                    path=path,
                    sql=sql,
                    checksum=hashlib.sha256(sql.encode()).hexdigest(),
                )
            )
    return found


def _missing(connection: sqlite3.Connection, migrations: list[Migration]) -> list[Migration]:
    """Return what is not applied yet, after comparing what is."""
    known = {(each.product, each.number): each for each in migrations}
    applied = set()
    for product, number, name, checksum in _applied(connection):
        migration = known.get((product, number))
        label = f"{product}/{number:04}_{name}"
        if migration is None:
            raise MigrationError(
                f"the database is newer than this program: it has {label}; run the version that"
                " made it, or restore a backup from before"
            )
        if migration.checksum != checksum:
            raise MigrationError(f"{migration.path} was edited after it was applied as {label}")
        applied.add((product, number))
    return [each for key, each in known.items() if key not in applied]


def _check_ours(path: str, connection: sqlite3.Connection) -> None:
    """Return where the file is empty or was made by these migrations."""
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
            " ESCAPE '!'"
        )
    }
    if not tables or "schema_migrations" in tables:
        return
    if {"pipelines", "leases"} <= tables:
        raise MigrationError(
            f"{path} is a nullTickets database; bring its rows into a new file with:"
            f" tickets import-nulltickets {path} --db tickets.db"
        )
    raise MigrationError(f"{path} is the database of another program")


def _applied(connection: sqlite3.Connection) -> list[tuple[str, int, str, str]]:
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
            (
                migration.product,
                migration.number,
                migration.name,
                migration.checksum,
                now_ms,
            ),
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
