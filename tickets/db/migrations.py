"""Numbered schema changes, applied once each, in order, checked on every start."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tickets.db.database import Database, Migration
from tickets.db.errors import MigrationError

__all__ = ["MigrationError", "migrate", "pending"]

_FILE = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.(?P<dialect>sqlite|postgres)\.sql")


def migrate(db: Database, root: Path, now_ms: int) -> list[str]:
    """Apply what is missing and return its labels, in the order applied.

    Several processes may call this at once: one of them applies, the others wait and find
    nothing left. Raises MigrationError; whatever was applied before it stays applied.
    """
    migrations = _read(root, db.dialect)
    with db.ledger() as ledger:
        ledger.check_ours()
        missing = _missing(ledger.applied(), migrations)
        ledger.apply(missing, now_ms)
        return [migration.label for migration in missing]


def pending(db: Database, root: Path) -> list[str]:
    """Return the labels of what migrate() would apply; raises MigrationError as it would."""
    migrations = _read(root, db.dialect)
    return [each.label for each in _missing(db.applied(), migrations)]


def _read(root: Path, dialect: str) -> list[Migration]:
    """Return the migrations of every product; each product counts from 1 without gaps."""
    found: list[Migration] = []
    for folder in sorted(root.glob("*/migrations")):
        product = folder.parent.name
        number = 0
        for path in sorted(folder.glob("*.sql")):
            parts = _FILE.fullmatch(path.name)
            if parts is None:
                raise MigrationError(f"{path}: not named <number>_<name>.<dialect>.sql")
            if parts["dialect"] != dialect:
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


def _missing(
    applied: list[tuple[str, int, str, str]], migrations: list[Migration]
) -> list[Migration]:
    """Return what is not applied yet, after comparing what is."""
    known = {(each.product, each.number): each for each in migrations}
    done = set()
    for product, number, name, checksum in applied:
        migration = known.get((product, number))
        label = f"{product}/{number:04}_{name}"
        if migration is None:
            raise MigrationError(
                f"the database is newer than this program: it has {label}; run the version that"
                " made it, or restore a backup from before"
            )
        if migration.checksum != checksum:
            raise MigrationError(f"{migration.path} was edited after it was applied as {label}")
        done.add((product, number))
    return [each for key, each in known.items() if key not in done]
