"""Rows → records, for the shapes that several families show."""

from __future__ import annotations

from tickets.db.database import Row, Transaction
from tickets.errors import NotFound
from tickets.tracker.domain.records import Event, Json, Run, Task
from tickets.web.answers import stored


def found_task(tx: Transaction, task_id: str) -> Row:
    """Return the whole row of a task. Raises NotFound."""
    row = tx.one("tasks.get", task_id=task_id)
    if row is None:
        raise NotFound("No task has this id")
    return row


def task(row: Row) -> Task:
    """Return a task as clients see it."""
    return Task(
        id=row["id"],
        pipeline_id=row["pipeline_id"],
        stage=row["stage"],
        title=row["title"],
        description=row["description"],
        priority=row["priority"],
        metadata=Json(row["metadata_json"].encode()),
        task_version=row["task_version"],
        next_eligible_at_ms=row["next_eligible_at_ms"],
        max_attempts=row["max_attempts"],
        retry_delay_ms=row["retry_delay_ms"],
        dead_letter_stage=row["dead_letter_stage"],
        dead_letter_reason=row["dead_letter_reason"],
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
        failed_attempts=row["failed_attempts"],
        retry_backoff=stored(row["retry_backoff_json"]),
    )


def run(row: Row) -> Run:
    """Return a run as clients see it."""
    return Run(
        id=row["id"],
        task_id=row["task_id"],
        attempt=row["attempt"],
        status=row["status"],
        agent_id=row["agent_id"],
        agent_role=row["agent_role"],
        started_at_ms=row["started_at_ms"],
        ended_at_ms=row["ended_at_ms"],
        usage=Json(row["usage_json"].encode()),
        error=row["error_text"],
    )


def event(row: Row) -> Event:
    """Return an event as clients see it."""
    return Event(
        id=row["id"],
        run_id=row["run_id"],
        ts_ms=row["ts_ms"],
        kind=row["kind"],
        data=Json(row["data_json"].encode()),
    )
