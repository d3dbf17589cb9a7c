"""What goes in with every change: its line in the feed, and the wake-up it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tickets.db.database import Row, Transaction
from tickets.web.answers import to_json

CHANGES_TOPIC = "changes"

# What is counted; declared in tracker/readings.py.
CLAIMS = "tickets_claims"
CLAIM_TIME = "tickets_claim_seconds"
CLAIM_OUTCOMES = ("empty", "granted", "replayed")
FACTS = "tickets_facts"
EXPIRIES = "tickets_lease_expiries"
RETRIES = "tickets_retries_scheduled"
RETRY_REASONS = ("lease_expired", "retry_scheduled")

KINDS = (
    "artifact.created",
    "lease.expired",
    "pipeline.created",
    "run.event",
    "run.failed",
    "run.gate",
    "run.released",
    "run.transitioned",
    "store.deleted",
    "store.put",
    "task.assigned",
    "task.cancelled",
    "task.changed",
    "task.claimed",
    "task.created",
    "task.dead_lettered",
    "task.dependency_added",
    "task.dependency_removed",
    "task.held",
    "task.requeued",
    "task.unassigned",
    "task.unheld",
    "task.withdrawn",
    "tracker.imported",
)


def record(tx: Transaction, kind: str, /, *, now_ms: int, **fact: Any) -> None:
    """Add a fact to the change feed, in the transaction of the fact.

    ``task_id`` and ``run_id`` say whose fact it is, everything else is its data.
    """
    tx.run("changes.append", now_ms=now_ms, **change(kind, **fact))
    tx.wake(CHANGES_TOPIC)
    tx.count(FACTS, kind)


def record_many(
    tx: Transaction, kind: str, changes: Sequence[dict[str, Any]], *, now_ms: int
) -> None:
    """Add facts of one kind, of which ``change`` made the lines, in one go."""
    for each in changes:
        each["now_ms"] = now_ms
    tx.run_many("changes.append", changes)
    tx.wake(CHANGES_TOPIC)
    tx.count(FACTS, kind, times=len(changes))


def change(
    kind: str, /, *, task_id: str | None = None, run_id: str | None = None, **fact: Any
) -> dict[str, Any]:
    """Return a fact's line in the change feed, but for its moment."""
    return {"kind": kind, "task_id": task_id, "run_id": run_id, "data_json": to_json(fact)}


def system_event(
    tx: Transaction, kind: str, *, run_id: str, now_ms: int, data: dict[str, Any]
) -> None:
    """Add a line of the service's own to a run's history."""
    tx.value(
        "events.append",
        run_id=run_id,
        now_ms=now_ms,
        kind=kind,
        origin="system",
        data_json=to_json(data),
    )


@lru_cache(maxsize=1024)
def claim_topic(agent_role: str, assignee: str | None) -> str:
    """Name what a waiting claim waits for: tasks for a role, for anybody or for one agent."""
    return to_json(["claim", agent_role, assignee])


def announce(tx: Transaction, task: Row) -> None:
    """Wake a waiting claim where ``task`` can be claimed after the commit."""
    if task["claim_role"] is not None and not (
        task["is_dead"]
        or task["is_delayed"]
        or task["is_leased"]
        or task["open_dependency_count"]
    ):
        tx.wake(claim_topic(task["claim_role"], task["claim_assignee"]))


def stage_topic(stage: str) -> str:
    """Name what a claim with a limit on a stage waits for: a place in that stage."""
    return to_json(["stage", stage])


def vacate(tx: Transaction, stage: str) -> None:
    """Wake claims that wait for a place in a stage: one task fewer is held in it."""
    tx.wake(stage_topic(stage))
