"""A database as read and write blocks: what every kind of database gives its callers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from tickets.db.errors import Collision, ConstraintViolated, StatementFailed
from tickets.db.tables import Tables
from tickets.db.transaction import Row, Transaction
from tickets.db.wakeups import Wakeups

__all__ = [
    "Collision",
    "ConstraintViolated",
    "Database",
    "Engine",
    "Ledger",
    "Migration",
    "Observer",
    "Reading",
    "Row",
    "StatementFailed",
    "Transaction",
]


class Engine(NamedTuple):
    """The program or library that keeps the rows, for people and for monitors."""

    name: str
    version: str


class Reading(NamedTuple):
    """A number that the database tells of itself, as a metric."""

    name: str
    text: str
    value: float


class Observer(Protocol):
    """Is told of every write block, whatever became of it."""

    def wrote(self, moments: list[float], counts: list[tuple[tuple[str, ...], int]]) -> None:
        """Take note of a block.

        ``moments`` are when it asked for the gate, when it had it, when its work was done and
        when that was durable, as far as it came, and then when it ended without. ``counts``
        are what its statements counted and how often, none where it was not committed.
        """


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

    def record(self, now_ms: int) -> tuple[str, int, str, str, int]:
        """Return its row in schema_migrations, in the order of the columns."""
        return (self.product, self.number, self.name, self.checksum, now_ms)


class Ledger(Protocol):
    """The record of what was applied to one database, held by one process at a time."""

    def check_ours(self) -> None:
        """Return where the database is empty or was made by us. Raises MigrationError."""

    def applied(self) -> list[tuple[str, int, str, str]]:
        """Return product, number, name and checksum of what was applied, in order."""

    def apply(self, migrations: list[Migration], now_ms: int) -> None:
        """Run each migration in a transaction with the row that says so."""


class Database(Protocol):
    """Safe for any number of threads and processes. Blocks of one thread nest."""

    observer: Observer | None

    @property
    def dialect(self) -> str:
        """The name of the statements and migrations that it understands."""

    @property
    def engine(self) -> Engine:
        """What keeps the rows."""

    @property
    def wakeups(self) -> Wakeups:
        """The wake-ups that commits here publish."""

    def write(self, patience_ms: int | None = None) -> AbstractContextManager[Transaction]:
        """Run the block in a write transaction that is durable once the block is left.

        Inside another write() of this thread it is a savepoint of that one. Raises Busy
        where it had to wait longer than ``patience_ms``, StorageFull, and RuntimeError
        inside a read(), which could not be upgraded.
        """

    def read(self) -> AbstractContextManager[Transaction]:
        """Run the block on one consistent view, or on that of the block around it."""

    def sync(self) -> None:
        """Return once everything that reads have shown so far is durable."""

    def tend(self) -> None:
        """Do what the database wants done now and then, which is mostly nothing."""

    def ping(self) -> None:
        """Return where the database answers; raises what keeps it from that."""

    def readings(self) -> Iterable[Reading]:
        """Return its sizes, for monitors."""

    def integrity_check(self) -> list[str]:
        """Return everything found wrong with what is stored; an empty list is good news."""

    def remarks(self) -> list[str]:
        """Return sentences that whoever runs this database should know."""

    def backup(self, target: Path) -> None:
        """Write a consistent copy while writers go on. Raises Invalid where it cannot."""

    def tables(self, tx: Transaction) -> Tables:
        """Return every table there is, for a copy inside a write block of this database."""

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Hold the record of migrations; another process that wants it waits."""

    def applied(self) -> list[tuple[str, int, str, str]]:
        """Return what was applied, as the ledger does, without holding it."""

    def close(self) -> None:
        """Close every connection. Closing twice is allowed."""
