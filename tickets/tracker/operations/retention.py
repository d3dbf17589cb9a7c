"""Retention: rows that nobody needs any more, deleted in bounded steps."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.tracker.operations.changes import PRUNED_TO_MARK

# Rows deleted in one transaction; others write in between.
STEP_ROWS = 500


class RetentionOperations:
    """One method for each kind of row that is pruned; each returns how many went."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def prune_idempotency_keys(self, *, older_than_ms: int) -> int:
        """Delete keys recorded more than ``older_than_ms`` ago."""
        total = 0
        while True:
            with self._db.write() as tx:
                until_ms = self._clock.now_ms() - older_than_ms
                count = tx.run("idempotency.prune", created_until_ms=until_ms, limit=STEP_ROWS)
            total += count
            if count < STEP_ROWS:
                return total

    def prune_changes(self, *, older_than_ms: int) -> int:
        """Delete the old end of the change feed and remember how far it went."""
        total = 0
        while True:
            with self._db.write() as tx:
                until_ms = self._clock.now_ms() - older_than_ms
                ids = [
                    row["id"]
                    for row in tx.many("changes.oldest", limit=STEP_ROWS)
                    if row["ts_ms"] <= until_ms
                ]
                if ids:
                    tx.run("marks.raise", name=PRUNED_TO_MARK, value=ids[-1])
                    total += tx.run("changes.prune", upto_id=ids[-1])
            if len(ids) < STEP_ROWS:
                return total

    def prune_traces(self, *, older_than_ms: int) -> int:
        """Delete trace batches received more than ``older_than_ms`` ago, with their spans."""
        total = 0
        while True:
            with self._db.write() as tx:
                until_ms = self._clock.now_ms() - older_than_ms
                count = tx.run("otlp.prune", received_until_ms=until_ms, limit=STEP_ROWS)
            total += count
            if count < STEP_ROWS:
                return total

    def prune_tasks(self, *, older_than_ms: int) -> int:
        """Delete tasks that ended long ago, with their runs, events, gates and artifacts.

        A task goes where it is in a terminal stage or dead, nobody holds it, its last change
        is older than ``older_than_ms``, and no remaining task depends on it.
        """
        total = 0
        while True:
            with self._db.write() as tx:
                until_ms = self._clock.now_ms() - older_than_ms
                count = tx.run("tasks.prune", updated_until_ms=until_ms, limit=STEP_ROWS)
            total += count
            if count < STEP_ROWS:
                return total
