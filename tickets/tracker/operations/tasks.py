"""Tasks: how they come to be, change, and are read."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import (
    DependencyCycle,
    Invalid,
    InvalidDependency,
    PipelineNotFound,
    TaskNotFound,
    TaskVersionMismatch,
    TicketsError,
)
from tickets.ids import new_id
from tickets.tracker.domain.dependencies import find_circle
from tickets.tracker.domain.documents import (
    MIN_INT64,
    BulkTask,
    NewTask,
    RetryPolicyDocument,
    TaskChanges,
    TaskQuery,
)
from tickets.tracker.domain.pipelines import Definition
from tickets.tracker.domain.records import Task
from tickets.tracker.operations import rows
from tickets.tracker.operations.dependencies import add_edges, record_edge
from tickets.tracker.operations.facts import claim_topic, record, record_many
from tickets.tracker.operations.pipelines import Definitions
from tickets.tracker.operations.rows import found_task
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_time_cursor


class TaskOperations:
    """Every change to a task that needs no lease, and the list of tasks."""

    def __init__(
        self, db: Database, clock: Clock, definitions: Definitions, feed: TaskFeed
    ) -> None:
        self._db = db
        self._clock = clock
        self._definitions = definitions
        self._feed = feed

    def create(self, document: NewTask, *, manager: str | None = None) -> str:
        """Create a task with its dependencies and assignment; return its id.

        ``manager`` is the name of whoever keeps it, None for a client's.
        Raises PipelineNotFound, Invalid (unknown dead-letter stage), TaskNotFound (a
        dependency), DuplicateDependency.
        """
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            columns = self._columns(tx, document, now_ms=now_ms)
            columns["manager"] = manager
            tx.run("tasks.create", **columns)
            blocked = _connect(tx, columns["id"], document, now_ms=now_ms)
            self._tell(tx, [document], [columns], blocked=[blocked])
            return str(columns["id"])

    def create_many(self, documents: Sequence[BulkTask]) -> list[str]:
        """Create all tasks or none; return their ids in order.

        An item may depend on siblings by their ``ref``. Raises as ``create``, with
        ``details.index``, and DependencyCycle.
        """
        siblings = _siblings(documents)
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            columns: list[dict[str, Any]] = []
            for index, document in enumerate(documents):
                with _at_index(index):
                    columns.append(self._columns(tx, document, now_ms=now_ms))
            tx.run_many("tasks.create", columns)
            ids: list[str] = [each["id"] for each in columns]
            blocked: list[bool] = []
            for index, document in enumerate(documents):
                with _at_index(index):
                    waits = _connect(tx, ids[index], document, now_ms=now_ms)
                    target_ids = [ids[target] for target in siblings[index]]
                    add_edges(tx, ids[index], target_ids, now_ms=now_ms)
                    blocked.append(waits or bool(target_ids))
            self._tell(tx, documents, columns, blocked=blocked)
            for index, targets in enumerate(siblings):
                for target in targets:
                    record_edge(tx, ids[index], ids[target], now_ms=now_ms)
            return ids

    def _columns(self, tx: Transaction, document: NewTask, *, now_ms: int) -> dict[str, Any]:
        """Return the row of a new task. Raises PipelineNotFound, Invalid."""
        definition = self._definitions.find(tx, document.pipeline_id)
        if definition is None:
            raise PipelineNotFound
        policy = document.retry_policy or RetryPolicyDocument()
        _check_dead_letter_stage(definition, policy)
        stage = definition.stage(definition.initial)
        assert stage is not None, "checked when the pipeline was created"
        return {
            "id": new_id(),
            "pipeline_id": document.pipeline_id,
            "stage": stage.name,
            "title": document.title,
            "description": document.description,
            "priority": document.priority or 0,
            "metadata_json": to_json(document.metadata or {}),
            **_policy_columns(policy),
            "claim_role": stage.agent_role,
            "claim_assignee": document.assigned_agent_id,
            "is_terminal": int(stage.terminal),
            "manager": None,
            "now_ms": now_ms,
        }

    def _tell(
        self,
        tx: Transaction,
        documents: Sequence[NewTask],
        columns: Sequence[dict[str, Any]],
        *,
        blocked: Sequence[bool],
    ) -> None:
        _record(tx, documents, columns, blocked=blocked)
        self._feed.created(
            tx,
            [
                {"id": row["id"], "stage": row["stage"], "assigned_by": document.assigned_by}
                for document, row in zip(documents, columns, strict=True)
            ],
            now_ms=columns[0]["now_ms"],
        )

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
                _check_dead_letter_stage(definition, document.retry_policy)
                columns |= _policy_columns(document.retry_policy)
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


class _at_index:  # noqa: N801  # reads as a clause: with _at_index(3)
    """Add ``details.index`` to a refusal of one item of many."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TicketsError):
            error.details = {"index": self._index, "problems": error.details or []}


def _connect(tx: Transaction, task_id: str, document: NewTask, *, now_ms: int) -> bool:
    """Add dependencies and assignment of a new task; return whether it is blocked."""
    blocked = add_edges(tx, task_id, document.dependencies or (), now_ms=now_ms)
    if document.assigned_agent_id is not None:
        tx.run(
            "assignments.activate",
            task_id=task_id,
            agent_id=document.assigned_agent_id,
            assigned_by=document.assigned_by,
            now_ms=now_ms,
        )
    return blocked is not None


def _record(
    tx: Transaction,
    documents: Sequence[NewTask],
    columns: Sequence[dict[str, Any]],
    *,
    blocked: Sequence[bool],
) -> None:
    """Tell the feed of new tasks, and waiting claims of those that are not blocked."""
    record_many(
        tx,
        "task.created",
        [
            {
                "now_ms": row["now_ms"],
                "task_id": row["id"],
                "pipeline_id": row["pipeline_id"],
                "stage": row["stage"],
                "assigned_agent_id": document.assigned_agent_id,
                "dependencies": document.dependencies or [],
            }
            for document, row in zip(documents, columns, strict=True)
        ],
    )
    for row, is_blocked in zip(columns, blocked, strict=True):
        if row["claim_role"] is not None and not is_blocked:
            tx.wake(claim_topic(row["claim_role"], row["claim_assignee"]))


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


def _siblings(documents: Sequence[BulkTask]) -> list[list[int]]:
    """Return, for each item, the indexes of the siblings it depends on by their ``ref``.

    All that can be wrong with refs is found here, before the database is locked. Raises
    Invalid (a ref used twice), TaskNotFound (an unknown ref), InvalidDependency and
    DependencyCycle, each with ``details.index``.
    """
    by_ref: dict[str, int] = {}
    for index, document in enumerate(documents):
        if document.ref is not None and by_ref.setdefault(document.ref, index) != index:
            with _at_index(index):
                raise Invalid.field("ref", "is used twice")
    edges: list[list[int]] = []
    for index, document in enumerate(documents):
        with _at_index(index):
            edges.append([_sibling(by_ref, ref) for ref in document.depends_on_refs or ()])
            if index in edges[index]:
                raise InvalidDependency
    circle = find_circle(edges)
    if circle:
        with _at_index(circle[0]):
            way = " → ".join(str(index) for index in (*circle, circle[0]))
            raise DependencyCycle(details=[{"field": "depends_on_refs", "problem": way}])
    return edges


def _sibling(by_ref: dict[str, int], ref: str) -> int:
    if ref not in by_ref:
        raise TaskNotFound(f"No task of this request has the ref {ref[:80]!r}")
    return by_ref[ref]


def _check_dead_letter_stage(definition: Definition, policy: RetryPolicyDocument) -> None:
    name = policy.dead_letter_stage
    if name is not None and definition.stage(name) is None:
        raise Invalid.field(
            "retry_policy.dead_letter_stage", "is not a stage of the task's pipeline"
        )


def _policy_columns(policy: RetryPolicyDocument) -> dict[str, Any]:
    backoff = policy.backoff
    return {
        "max_attempts": policy.max_attempts,
        "retry_delay_ms": policy.retry_delay_ms or 0,
        "dead_letter_stage": policy.dead_letter_stage,
        "retry_backoff_json": None
        if backoff is None
        else to_json(
            {k: v for k, v in msgspec.structs.asdict(backoff).items() if v is not None}
        ),
    }
