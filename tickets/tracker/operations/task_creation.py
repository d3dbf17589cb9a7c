"""New tasks, with all that belongs to them.

What does not depend on what others write is made ready before the gate: whoever holds it lets
everybody else wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.errors import (
    DependencyCycle,
    DuplicateDependency,
    Invalid,
    InvalidDependency,
    TaskNotFound,
    TicketsError,
)
from tickets.ids import new_id
from tickets.tracker.domain.dependencies import find_circle
from tickets.tracker.domain.documents import BulkTask, NewTask, RetryPolicyDocument
from tickets.tracker.operations.dependencies import add_edges, record_edge
from tickets.tracker.operations.facts import change, claim_topic, record_many
from tickets.tracker.operations.pipelines import Definitions
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.tracker.operations.task_policies import check_dead_letter_stage, policy_columns
from tickets.web.answers import to_json

_NO_POLICY: Final = policy_columns(RetryPolicyDocument())


class _Plan(NamedTuple):
    """What is written of new tasks, item by item, but for the moment."""

    columns: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    births: list[dict[str, Any]]


class TaskCreationOperations:
    """How tasks come to be."""

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
        plan = self._plan([document], [self._columns(document, manager)])
        columns = plan.columns[0]
        task_id = str(columns["id"])
        with self._db.write() as tx:
            now_ms = columns["now_ms"] = self._clock.now_ms()
            tx.run("tasks.create", **columns)
            is_blocked = _connect(tx, task_id, document, now_ms=now_ms)
            self._tell(tx, plan, {0} if is_blocked else set(), now_ms=now_ms)
        return task_id

    def create_many(self, documents: Sequence[BulkTask]) -> list[str]:
        """Create all tasks or none; return their ids in order.

        An item may depend on siblings by their ``ref``. Raises as ``create``, with
        ``details.index``, and DependencyCycle.
        """
        siblings = _siblings(documents)
        columns = []
        for index, document in enumerate(documents):
            with _at_index(index):
                columns.append(self._columns(document, None))
        plan = self._plan(documents, columns)
        ids: list[str] = [each["id"] for each in columns]
        tied = [index for index, each in enumerate(documents) if _has_ties(each)]
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            for row in columns:
                row["now_ms"] = now_ms
            tx.run_many("tasks.create", columns)
            blocked: set[int] = set()
            for index in tied:
                with _at_index(index):
                    waits = _connect(tx, ids[index], documents[index], now_ms=now_ms)
                    target_ids = [ids[target] for target in siblings.get(index, ())]
                    add_edges(tx, ids[index], target_ids, now_ms=now_ms)
                    if waits or target_ids:
                        blocked.add(index)
            self._tell(tx, plan, blocked, now_ms=now_ms)
            for index, targets in siblings.items():
                for target in targets:
                    record_edge(tx, ids[index], ids[target], now_ms=now_ms)
        return ids

    def _columns(self, document: NewTask, manager: str | None) -> dict[str, Any]:
        """Return the row of a new task. Raises PipelineNotFound, Invalid."""
        definition = self._definitions.read(self._db, document.pipeline_id)
        policy = document.retry_policy
        if policy is not None:
            check_dead_letter_stage(definition, policy)
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
            **(_NO_POLICY if policy is None else policy_columns(policy)),
            "claim_role": stage.agent_role,
            "claim_assignee": document.assigned_agent_id,
            "is_terminal": int(stage.terminal),
            "manager": manager,
        }

    def _plan(self, documents: Sequence[NewTask], columns: list[dict[str, Any]]) -> _Plan:
        changes = [
            change(
                "task.created",
                task_id=row["id"],
                pipeline_id=row["pipeline_id"],
                stage=row["stage"],
                assigned_agent_id=document.assigned_agent_id,
                dependencies=document.dependencies or [],
            )
            for document, row in zip(documents, columns, strict=True)
        ]
        births = self._feed.births(
            (row["id"], row["stage"], document.assigned_by)
            for document, row in zip(documents, columns, strict=True)
        )
        return _Plan(columns, changes, births)

    def _tell(
        self, tx: Transaction, plan: _Plan, blocked: Iterable[int], *, now_ms: int
    ) -> None:
        """Tell the feeds of new tasks, and waiting claims of those that are not blocked."""
        record_many(tx, "task.created", plan.changes, now_ms=now_ms)
        self._feed.born(tx, plan.births, now_ms=now_ms)
        for index, row in enumerate(plan.columns):
            if row["claim_role"] is not None and index not in blocked:
                tx.wake(claim_topic(row["claim_role"], row["claim_assignee"]))


class _at_index:  # noqa: N801  # reads as a clause: with _at_index(3)
    """Add ``details.index`` to a refusal of one item of many; trouble of ours is of none."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TicketsError) and error.status < 500:
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


def _has_ties(document: BulkTask) -> bool:
    """Tell whether a task comes with dependencies or an assignment."""
    ties = document.dependencies or document.depends_on_refs or document.assigned_agent_id
    return ties is not None


def _siblings(documents: Sequence[BulkTask]) -> dict[int, list[int]]:
    """Return, for items that depend on siblings by their ``ref``, the indexes of those.

    All that can be wrong with refs is found here, before the database is locked. Raises
    Invalid (a ref used twice), TaskNotFound (an unknown ref), InvalidDependency,
    DuplicateDependency and DependencyCycle, each with ``details.index``.
    """
    by_ref: dict[str, int] = {}
    for index, document in enumerate(documents):
        if document.ref is not None and by_ref.setdefault(document.ref, index) != index:
            with _at_index(index):
                raise Invalid.field("ref", "is used twice")
    siblings: dict[int, list[int]] = {}
    for index, document in enumerate(documents):
        if document.depends_on_refs:
            with _at_index(index):
                siblings[index] = _targets(document, document.depends_on_refs, by_ref)
    if siblings:
        _check_acyclic(documents, siblings)
    return siblings


def _targets(document: BulkTask, refs: Sequence[str], by_ref: Mapping[str, int]) -> list[int]:
    targets: dict[int, None] = {}
    for ref in refs:
        if ref not in by_ref:
            message = f"No task of this request has the ref {ref[:80]!r}"
            raise TaskNotFound(message, details=_of_refs(f"{ref!r} is unknown"))
        if ref == document.ref:
            raise InvalidDependency(details=_of_refs(f"{ref!r} is the task itself"))
        if by_ref[ref] in targets:
            raise DuplicateDependency(details=_of_refs(f"{ref!r} is named twice"))
        targets[by_ref[ref]] = None
    return list(targets)


def _check_acyclic(
    documents: Sequence[BulkTask], siblings: Mapping[int, Sequence[int]]
) -> None:
    circle = find_circle([siblings.get(index, []) for index in range(len(documents))])
    if circle:
        with _at_index(circle[0]):
            way = " → ".join(str(documents[index].ref) for index in (*circle, circle[0]))
            raise DependencyCycle(details=_of_refs(way))


def _of_refs(problem: str) -> list[dict[str, str]]:
    return [{"field": "depends_on_refs", "problem": problem}]
