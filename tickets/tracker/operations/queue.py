"""Queue statistics: what waits for each role, and why."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row
from tickets.tracker.domain.documents import QueueQuery
from tickets.tracker.domain.records import Queue, RoleQueue


class QueueOperations:
    """Everything a client can ask of the queue as a whole."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def statistics(self, query: QueueQuery) -> Queue:
        """Return the counters of every role of any pipeline, sorted by role.

        All counters are of one moment. Source: docs/api.md, GET /ops/queue.
        """
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            tasks = tx.many("queue.tasks_by_role", now_ms=now_ms)
            stuck = _by_role(
                tx.many("queue.stuck_by_role", started_until_ms=now_ms - query.stuck_ms)
            )
            leases = _by_role(
                tx.many(
                    "queue.leases_by_role",
                    now_ms=now_ms,
                    near_until_ms=now_ms + query.near_expiry_ms,
                )
            )
        roles = [
            _role_queue(
                {
                    **row,
                    **stuck.get(row["agent_role"], {"stuck_count": 0}),
                    **leases.get(
                        row["agent_role"], {"near_expiry_leases": 0, "expired_leases": 0}
                    ),
                },
                now_ms=now_ms,
            )
            for row in sorted(tasks, key=lambda row: str(row["agent_role"]))
        ]
        return Queue(roles=roles, generated_at_ms=now_ms)


def _by_role(rows: list[Row]) -> dict[str, Row]:
    return {row["agent_role"]: row for row in rows}


def _role_queue(row: Row, *, now_ms: int) -> RoleQueue:
    oldest_at_ms = row["oldest_claimable_at_ms"]
    return RoleQueue(
        role=row["agent_role"],
        claimable_count=row["claimable_count"],
        # A clock that was set back makes nothing younger than new.
        oldest_claimable_age_ms=None if oldest_at_ms is None else max(0, now_ms - oldest_at_ms),
        failed_count=row["failed_count"],
        stuck_count=row["stuck_count"],
        near_expiry_leases=row["near_expiry_leases"],
        assigned_count=row["assigned_count"],
        blocked_count=row["blocked_count"],
        scheduled_count=row["scheduled_count"],
        leased_count=row["leased_count"],
        dead_letter_count=row["dead_letter_count"],
        expired_leases=row["expired_leases"],
    )
