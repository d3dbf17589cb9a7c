"""Tasks that another part of this service made and keeps: their manager steers them."""

from __future__ import annotations

from typing import Any

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.tracker.operations.assignments import reserve
from tickets.tracker.operations.dead_letters import give_up
from tickets.tracker.operations.facts import announce, record, system_event, vacate
from tickets.tracker.operations.readiness import Readiness
from tickets.tracker.operations.rows import found_task
from tickets.tracker.operations.task_feed import TaskFeed


class ManagedTaskOperations:
    """What a manager does with its tasks; each joins the transaction around it."""

    def __init__(
        self, db: Database, clock: Clock, readiness: Readiness, feed: TaskFeed
    ) -> None:
        self._db = db
        self._clock = clock
        self._readiness = readiness
        self._feed = feed

    def hold(self, task_id: str, *, reason: str | None = None) -> None:
        """Let nobody claim the task until that is undone; a lease that is there stays."""
        with self._db.write() as tx:
            row = tx.one("tasks.hold", task_id=task_id)
            if row is None:
                return
            now_ms = self._clock.now_ms()
            record(tx, "task.held", now_ms=now_ms, task_id=task_id, reason=reason)
            self._feed.held(
                tx, task_id, version=row["task_version"], reason=reason, now_ms=now_ms
            )

    def unhold(self, task_id: str) -> None:
        """End a hold."""
        with self._db.write() as tx:
            row = tx.one("tasks.unhold", task_id=task_id)
            if row is None:
                return
            now_ms = self._clock.now_ms()
            record(tx, "task.unheld", now_ms=now_ms, task_id=task_id)
            self._feed.let_go(
                tx,
                task_id,
                version=row["task_version"],
                is_running=bool(row["is_leased"]),
                now_ms=now_ms,
            )
            announce(tx, row)

    def pin(self, task_id: str, agent_id: str, *, assigned_by: str) -> None:
        """Reserve the task for one agent, instead of any other."""
        with self._db.write() as tx:
            reserve(tx, task_id, agent_id, assigned_by=assigned_by, clock=self._clock)

    def set_priority(self, task_id: str, priority: int) -> None:
        """Change the place of the task in the queue."""
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            tx.run("tasks.set_priority", task_id=task_id, priority=priority, now_ms=now_ms)
            record(tx, "task.changed", now_ms=now_ms, task_id=task_id, fields=["priority"])

    def withdraw(self, task_id: str, *, reason: str, details: dict[str, Any]) -> str | None:
        """Take the task out of the queue for good; return the run that this ended.

        Its agent is told that the lease is over, and nothing counts as a failed attempt.
        Nothing happens to a task that is dead or in a terminal stage already. ``details`` go
        into the run's event and the feed.
        """
        with self._db.write() as tx:
            tx.hold("tasks.lock", task_id=task_id)
            now_ms = self._clock.now_ms()
            self._readiness.expire_if_over(tx, task_id, now_ms=now_ms)
            task = found_task(tx, task_id)
            if task["is_terminal"] or task["is_dead"]:
                return None
            run_id = _withdraw_run(tx, task, now_ms=now_ms)
            if run_id is not None:
                data = {"reason": reason, **details}
                system_event(tx, "withdrawn", run_id=run_id, now_ms=now_ms, data=data)
            give_up(tx, task, reason=reason, version_step=1, now_ms=now_ms)
            record(
                tx,
                "task.withdrawn",
                now_ms=now_ms,
                task_id=task_id,
                run_id=run_id,
                reason=reason,
                **details,
            )
            self._feed.withdrawn(
                tx,
                task_id,
                run_id=run_id,
                version=task["task_version"] + 1,
                reason=reason,
                now_ms=now_ms,
            )
            return run_id


def _withdraw_run(tx: Transaction, task: Row, *, now_ms: int) -> str | None:
    lease = tx.one("leases.active_of_task", task_id=task["id"])
    if lease is None:
        return None
    run_id: str = lease["run_id"]
    tx.run("leases.withdraw", run_id=run_id, now_ms=now_ms)
    tx.one(
        "runs.end",
        run_id=run_id,
        status="stale",
        ended_at_ms=now_ms,
        usage_json="{}",
        error_text=None,
    )
    vacate(tx, task["stage"])
    return run_id
