"""Tasks: how they change, and are listed."""

from __future__ import annotations

import heapq
import itertools
from typing import Any

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import (
    TaskVersionMismatch,
)
from tickets.tracker.domain.documents import (
    MIN_INT64,
    TaskChanges,
    TaskQuery,
)
from tickets.tracker.domain.records import Task
from tickets.tracker.operations import rows
from tickets.tracker.operations.facts import record
from tickets.tracker.operations.pipelines import Definitions
from tickets.tracker.operations.rows import found_task
from tickets.tracker.operations.task_policies import check_dead_letter_stage, policy_columns
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_time_cursor


class TaskOperations:
    """What a client changes of a task, and the list of tasks."""

    def __init__(self, db: Database, clock: Clock, definitions: Definitions) -> None:
        self._db = db
        self._clock = clock
        self._definitions = definitions

    def list_oldest_first(self, query: TaskQuery) -> Page[Task]:
        """Return a page of tasks, by creation. Raises InvalidCursor."""
        with self._db.read() as tx:
            after_created_at_ms, after_seq = MIN_INT64, 0
            if query.cursor is not None:
                after_created_at_ms, id_ = parse_time_cursor(query.cursor)
                # A cursor whose task was pruned starts at its millisecond again: rather a
                # row twice than a row lost.
                after_seq = tx.value("tasks.seq_of", task_id=id_) or 0
            found = _page(
                tx,
                query,
                after_created_at_ms=after_created_at_ms,
                after_seq=after_seq,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=rows.task,
            cursor=lambda row: f"{row['created_at_ms']}:{row['id']}",
        )

    def change(self, task_id: str, document: TaskChanges) -> Task:
        """Change what is given and leave the rest; the version stays.

        Raises NotFound, TaskVersionMismatch, Invalid (unknown dead-letter stage).
        """
        with self._db.write() as tx:
            tx.hold("tasks.lock", task_id=task_id)
            now_ms = self._clock.now_ms()
            task = found_task(tx, task_id)
            expected = document.expected_task_version
            if expected is not None and expected != task["task_version"]:
                raise TaskVersionMismatch(
                    details={"stage": task["stage"], "task_version": task["task_version"]}
                )
            columns: dict[str, Any] = {
                name: task[name]
                for name in (
                    "title",
                    "description",
                    "priority",
                    "metadata_json",
                    "max_attempts",
                    "retry_delay_ms",
                    "retry_backoff_json",
                    "dead_letter_stage",
                )
            }
            given = {
                "title": document.title,
                "description": document.description,
                "priority": document.priority,
                "metadata_json": None
                if document.metadata is None
                else to_json(document.metadata),
            }
            columns |= {name: value for name, value in given.items() if value is not None}
            if document.retry_policy is not None:
                definition = self._definitions.get(tx, task["pipeline_id"])
                check_dead_letter_stage(definition, document.retry_policy)
                columns |= policy_columns(document.retry_policy)
            row = tx.one("tasks.change", task_id=task_id, now_ms=now_ms, **columns)
            assert row is not None
            record(
                tx,
                "task.changed",
                now_ms=now_ms,
                task_id=task_id,
                fields=sorted(
                    name
                    for name in ("title", "description", "priority", "metadata", "retry_policy")
                    if getattr(document, name) is not None
                ),
            )
            return rows.task(row)


def _page(tx: Transaction, query: TaskQuery, **position: int) -> list[Row]:
    """Return the next rows; a list by pipeline or by stage is merged from its few parts.

    An index of their own for these two would cost every stage change two pages more.
    """
    stage, pipeline_id = query.stage, query.pipeline_id
    if query.dead_lettered is not None:
        return tx.many(
            "tasks.page_dead_lettered", stage=stage, pipeline_id=pipeline_id, **position
        )
    if stage is None and pipeline_id is None:
        return tx.many("tasks.page", **position)
    if stage is not None and pipeline_id is not None:
        parts = [(pipeline_id, stage)]
    elif stage is not None:
        found = tx.many("pipelines.with_stage", stage=stage)
        parts = [(row["pipeline_id"], stage) for row in found]
    else:
        found = tx.many("pipelines.stages_of", pipeline_id=pipeline_id)
        parts = [(str(pipeline_id), row["stage"]) for row in found]
    merged = heapq.merge(
        *(
            tx.many("tasks.page_by_pipeline_stage", pipeline_id=id_, stage=name, **position)
            for id_, name in parts
        ),
        key=lambda row: (row["created_at_ms"], row["seq"]),
    )
    return list(itertools.islice(merged, position["limit"]))
