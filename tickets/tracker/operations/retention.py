"""Retention: rows that nobody needs any more, deleted in bounded steps."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database
from tickets.tracker.domain.documents import MAX_INT64
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
        """Delete the old end of the change feed and remember how far it went.

        What was recorded before an old change is old too, whatever the clock said then.
        """
        total = 0
        while True:
            with self._db.write() as tx:
                until_ms = self._clock.now_ms() - older_than_ms
                rows = tx.many("changes.oldest", limit=STEP_ROWS)
                ids = [row["id"] for row in rows if row["ts_ms"] <= until_ms]
                if ids:
                    tx.run("marks.raise", name=PRUNED_TO_MARK, value=ids[-1])
                    total += tx.run("changes.prune", upto_id=ids[-1])
            if not ids or len(rows) < STEP_ROWS:
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
        until_ms = self._clock.now_ms() - older_than_ms
        total = 0
        while True:
            pruned, kept = self._prune_tasks_once(until_ms)
            total += pruned
            # What was kept may have been depended on by a task that went after it.
            if not pruned or not kept:
                return total

    def _prune_tasks_once(self, until_ms: int) -> tuple[int, int]:
        """Look at every ended task once; return how many went and how many stayed."""
        pruned = looked_at = 0
        before_seq = MAX_INT64
        while True:
            with self._db.read() as tx:
                rows = tx.many(
                    "tasks.ended",
                    before_seq=before_seq,
                    updated_until_ms=until_ms,
                    limit=STEP_ROWS,
                )
            if not rows:
                return pruned, looked_at - pruned
            with self._db.write() as tx:
                for row in rows:
                    tx.hold("tasks.lock_seq", seq=row["seq"])
                    pruned += tx.run("tasks.prune", seq=row["seq"], updated_until_ms=until_ms)
            looked_at += len(rows)
            before_seq = rows[-1]["seq"]
