"""A PostgreSQL database: a transaction for each block, on a connection of a pool."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from tickets.db import postgres
from tickets.db.database import Engine, Observer, Reading
from tickets.db.postgres_ledger import PostgresLedger, applied
from tickets.db.postgres_pool import Link, Pool
from tickets.db.postgres_tables import PostgresTables
from tickets.db.postgres_transaction import PostgresTransaction
from tickets.db.postgres_wakeups import PostgresWakeups
from tickets.db.process import UNCLOSED
from tickets.db.registry import Registry
from tickets.db.transaction import Transaction
from tickets.db.wakeups import Wakeups
from tickets.errors import Invalid, OutcomeUnknown

UPKEEP_PERIOD_S: Final = 1.0

_POOLED: Final = (
    "a pooler stands between: see prepared_statements and direct_db in the settings"
)

_BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Of transactions of other users only those that this one may see.
_SIZES: Final = """
SELECT pg_database_size(current_database()),
       COALESCE(MAX(EXTRACT(EPOCH FROM clock_timestamp() - xact_start))::FLOAT8, 0)
  FROM pg_stat_activity
 WHERE datname = current_database()"""

_log = logging.getLogger(__name__)


class _Here(threading.local):
    """What belongs to the current thread."""

    transaction: PostgresTransaction | None = None


class PostgresDatabase:
    """One database on a server. Blocks of one thread nest; nothing is opened before first use.

    ``busy_timeout_ms`` bounds how long a block waits for one of ``pool_size`` connections, and
    how long each of its statements waits for a lock. ``direct_url`` leads to the same database
    without a pooler between. ``upkeep`` names statements to run now and then.
    """

    def __init__(
        self,
        url: str,
        *,
        registry: Registry,
        durable: bool = True,
        busy_timeout_ms: int = 5000,
        pool_size: int = 10,
        prepared_statements: str = postgres.AUTO,
        direct_url: str | None = None,
        upkeep: Sequence[str] = (),
    ) -> None:
        self._parameters = postgres.connection_parameters(url)
        self._registry = registry
        self._texts = registry.for_psycopg()
        self._durable = durable
        self._busy_timeout_ms = busy_timeout_ms
        self._pool_size = pool_size
        self._prepared = prepared_statements
        self._upkeep = upkeep
        self._tended_at = time.monotonic()
        self._version = ""
        self.observer: Observer | None = None
        direct = direct_url and postgres.connection_parameters(direct_url)
        self._wakeups = PostgresWakeups(self._parameters, direct or self._parameters)
        self._pool = self._new_pool()
        self._here = _Here()
        _ALIVE.add(self)

    @property
    def dialect(self) -> str:
        """The name of its statements and migrations."""
        return "postgres"

    @property
    def engine(self) -> Engine:
        """The server, as it was when it was last asked for its version."""
        if not self._version:
            with self.read() as tx, tx.raw() as connection:
                number = connection.info.server_version
                self._version = f"{number // 10_000}.{number % 10_000}"
        return Engine("postgresql", self._version)

    @property
    def wakeups(self) -> Wakeups:
        """The wake-ups that commits here publish."""
        return self._wakeups

    @contextmanager
    def write(self, patience_ms: int | None = None) -> Iterator[PostgresTransaction]:
        """Run the block in a transaction that is durable once the block is left.

        Raises Busy, StorageFull, Collision where the same may be tried again, and
        OutcomeUnknown where nobody knows whether it was committed.
        """
        outer = self._here.transaction
        if outer is not None:
            if not outer.writable:
                raise RuntimeError("a write() cannot start inside a read()")
            with outer.savepoint():
                yield outer
            return
        moments = [time.perf_counter()]
        counts: list[tuple[tuple[str, ...], int]] = []
        try:
            patience = self._busy_timeout_ms if patience_ms is None else patience_ms
            begin = f"BEGIN; SET LOCAL lock_timeout = {patience}"
            with self._block(begin, patience, writable=True) as (link, tx):
                moments.append(time.perf_counter())
                yield tx
                moments.append(time.perf_counter())
                _commit(link, tx)
            counts = tx.counts
            if tx.topics:
                self._publish(tx.topics)
        finally:
            if self.observer is not None:
                moments.append(time.perf_counter())
                self.observer.wrote(moments, counts)

    @contextmanager
    def read(self) -> Iterator[PostgresTransaction]:
        """Run the block on one consistent view, or on that of the block around it."""
        outer = self._here.transaction
        if outer is not None:
            yield outer
            return
        with self._block(_BEGIN_READ, self._busy_timeout_ms, writable=False) as (_, tx):
            yield tx

    @contextmanager
    def _block(
        self, begin: str, patience_ms: int, *, writable: bool
    ) -> Iterator[tuple[Link, PostgresTransaction]]:
        """Lend a connection to the block; whatever is not committed in it is undone."""
        pool = self._pool
        link = pool.begin(begin, time.monotonic() + patience_ms / 1000)
        tx = PostgresTransaction(link, self._registry, self._texts, writable=writable)
        self._here.transaction = tx
        try:
            yield link, tx
        finally:
            self._here.transaction = None
            tx.end()
            if pool is not self._pool:
                raise RuntimeError("the process was forked inside a block")
            _undo(link)
            pool.give_back(link)

    def sync(self) -> None:
        """Do nothing: what can be read is durable, or was never promised to be."""

    def tend(self) -> None:
        """Run the statements for upkeep, once in a second."""
        now = time.monotonic()
        if now - self._tended_at < UPKEEP_PERIOD_S:
            return
        self._tended_at = now
        for name in self._upkeep:
            with self.write() as block:
                block.run(name)

    def ping(self) -> None:
        """Ask the server something; raises what keeps it from answering."""
        with self.read() as tx, tx.raw() as connection:
            connection.execute("SELECT 1").fetchone()

    def readings(self) -> list[Reading]:
        """Return how large the database is, and what holds the feed and the vacuum up."""
        with self.read() as tx, tx.raw() as connection:
            row = connection.execute(_SIZES).fetchone()
        assert row is not None, "a row without a table"
        return [
            Reading("tickets_database_bytes", "Size of the database.", row[0]),
            Reading(
                "tickets_oldest_transaction_seconds",
                "Age of the oldest transaction in the database, anybody's.",
                row[1],
            ),
        ]

    def integrity_check(self) -> list[str]:
        """Return the indexes that the server does not trust; the rest it checks itself."""
        with self.read() as tx, tx.raw() as connection:
            rows = connection.execute(
                "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
            ).fetchall()
        return [f"the index {name} is not valid" for (name,) in rows]

    def remarks(self) -> list[str]:
        """Return what a pooler changes, where there is one."""
        with self.read() as tx, tx.raw() as connection:
            return [_POOLED] if connection.is_pooled else []

    def backup(self, target: Path) -> None:
        """Refuse: the server's own tools do that, and better."""
        raise Invalid(f"a PostgreSQL database is not copied to {target}; use pg_dump")

    def tables(self, tx: Transaction) -> PostgresTables:
        """Return every table there is, for a copy inside a write block of this database."""
        assert isinstance(tx, PostgresTransaction), "a block of another database"
        return PostgresTables(tx)

    @contextmanager
    def ledger(self) -> Iterator[PostgresLedger]:
        """Hold the record of migrations, on a connection of its own."""
        try:
            connection = postgres.connect(self._parameters)
        except psycopg.Error as error:
            raise postgres.unreachable(error) from error
        with connection, postgres.translated("migrate"), connection.transaction():
            yield PostgresLedger(connection)

    def applied(self) -> list[tuple[str, int, str, str]]:
        """Return product, number, name and checksum of each migration that was applied."""
        with self.read() as tx, tx.raw() as connection:
            return applied(connection)

    def close(self) -> None:
        """Close every connection; one that a block is using goes at its end."""
        self._wakeups.close()
        self._pool.close()

    def after_fork(self) -> None:
        """Start anew in a forked process, leaving the parent's connections untouched."""
        UNCLOSED.append(self._pool)
        self._pool = self._new_pool()

    def _new_pool(self) -> Pool:
        return Pool(
            self._parameters,
            size=self._pool_size,
            durable=self._durable,
            prepared=self._prepared,
            # For read blocks: who alters a table, or locks it whole, keeps readers out too.
            lock_timeout_ms=self._busy_timeout_ms,
        )

    def _publish(self, topics: list[str]) -> None:
        try:
            self._wakeups.publish(topics)
        except Exception:  # noqa: BLE001 - whatever it is
            # The rows are committed: who waits for them finds them a little later.
            _log.exception("wake-ups could not be published")


def _commit(link: Link, tx: PostgresTransaction) -> None:
    failure = tx.failure()
    if failure is not None:
        # A statement failed and somebody passed over that: COMMIT would quietly undo all.
        raise failure
    try:
        link.control("COMMIT")
    except psycopg.Error as error:
        # A server that goes may have committed before it said so.
        if link.is_lost() or (error.sqlstate or "").startswith("57P"):
            raise OutcomeUnknown from error
        raise postgres.translate(error, "COMMIT") from error


def _undo(link: Link) -> None:
    """End a transaction that may still be open."""
    if link.is_lost() or not link.connection.info.transaction_status:
        return
    try:
        link.control("ROLLBACK")
    except psycopg.Error:
        link.is_useless = True


_ALIVE: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for database in list(_ALIVE):
        database.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
