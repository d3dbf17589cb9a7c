"""Copies of a whole database: what follows from the rows, and is made anew from them."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.copying import Copy, copy_database
from tickets.db.database import Database, Transaction
from tickets.tracker.operations.kv import KvOperations

DERIVED = frozenset({"kv_search", "task_counts", "task_count_deltas"})


def copy_all(source: Database, target: Database, clock: Clock) -> Copy:
    """Copy everything to a database that has the same schema and nothing else.

    Source: docs/running.md, Moving to PostgreSQL.
    """

    def derive(tx: Transaction) -> None:
        tx.run("copies.count_tasks")
        KvOperations(target, clock).rebuild_search()

    return copy_database(source, target, derived=DERIVED, derive=derive)
