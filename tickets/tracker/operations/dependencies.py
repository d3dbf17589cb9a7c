"""Dependencies: edges between tasks, kept free of cycles."""

from __future__ import annotations

from collections.abc import Sequence

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import (
    DependencyCycle,
    DependencyTaskNotFound,
    DuplicateDependency,
    InvalidDependency,
    NotFound,
    TaskNotFound,
)
from tickets.tracker.domain.dependencies import find_cycle
from tickets.tracker.domain.documents import ArrayQuery
from tickets.tracker.domain.records import Dependency, Outcome
from tickets.tracker.operations.access import check_task_reader
from tickets.tracker.operations.facts import announce, record
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.readiness import is_resolved
from tickets.tracker.operations.rows import found_task
from tickets.web.pages import cut, parse_id_cursor, rows_wanted


class DependencyOperations:
    """Everything a client can ask of a task's dependencies."""

    def __init__(self, db: Database, clock: Clock, managers: Managers) -> None:
        self._db = db
        self._clock = clock
        self._managers = managers

    def add(self, task_id: str, depends_on_task_id: str) -> Outcome:
        """Let a task wait for another; a run that holds the task goes on undisturbed.

        Raises InvalidDependency, TaskNotFound, DependencyTaskNotFound,
        DuplicateDependency, DependencyCycle, in this order, before these two what the
        manager of a managed task says.
        """
        if task_id == depends_on_task_id:
            raise InvalidDependency
        with self._db.write() as tx:
            tx.hold("dependencies.lock_graph")
            now_ms = self._clock.now_ms()
            task = tx.one("tasks.get", task_id=task_id)
            if task is None:
                raise TaskNotFound
            if tx.value("tasks.seq_of", task_id=depends_on_task_id) is None:
                raise DependencyTaskNotFound
            self._managers.check_free(task)
            _check_acyclic(tx, task_id, depends_on_task_id)
            add_edges(tx, task_id, [depends_on_task_id], now_ms=now_ms)
            record_edge(tx, task_id, depends_on_task_id, now_ms=now_ms)
            return Outcome(status="created")

    def remove(self, task_id: str, depends_on_task_id: str) -> Outcome:
        """Take an edge away. Raises NotFound."""
        with self._db.write() as tx:
            tx.hold("tasks.lock_shared", task_id=depends_on_task_id)
            now_ms = self._clock.now_ms()
            seq = tx.value(
                "dependencies.remove", task_id=task_id, depends_on_task_id=depends_on_task_id
            )
            if seq is None:
                raise NotFound("The task does not depend on this task")
            self._managers.check_free(found_task(tx, task_id))
            if _is_counted(tx, found_task(tx, depends_on_task_id), seq):
                row = tx.one("tasks.count_open_dependencies", task_id=task_id, step=-1)
                assert row is not None
                announce(tx, row)
            record(
                tx,
                "task.dependency_removed",
                now_ms=now_ms,
                task_id=task_id,
                depends_on_task_id=depends_on_task_id,
            )
            return Outcome(status="deleted")

    def list_oldest_first(
        self, task_id: str, query: ArrayQuery, *, reader: bytes | None
    ) -> tuple[list[Dependency], str | None]:
        """Return the edges and where the next part begins, if the list was cut.

        Raises NotFound, InvalidCursor, Unauthorized.
        """
        after_seq = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            check_task_reader(tx, task_id, reader=reader, now_ms=self._clock.now_ms())
            if tx.value("tasks.seq_of", task_id=task_id) is None:
                raise NotFound("No task has this id")
            found = tx.many(
                "dependencies.of_task",
                task_id=task_id,
                after_seq=after_seq,
                limit=rows_wanted(query.limit),
            )
        return cut(
            found, limit=query.limit, make=dependency, cursor=lambda row: str(row["seq"])
        )


def dependency(row: Row) -> Dependency:
    """Return an edge as clients see it."""
    return Dependency(
        depends_on_task_id=row["depends_on_task_id"],
        resolved=bool(row["is_resolved"]),
        dead_letter_reason=row["dead_letter_reason"],
    )


def add_edges(
    tx: Transaction, task_id: str, depends_on_task_ids: Sequence[str], *, now_ms: int
) -> Row | None:
    """Add edges to a task; return it as it is now, or None where none of them is open.

    The caller knows that they close no cycle, as where the task is new and nothing depends on
    it yet. Raises TaskNotFound, InvalidDependency, DuplicateDependency.
    """
    open_count = 0
    for target_id in depends_on_task_ids:
        if target_id == task_id:
            raise InvalidDependency
        tx.hold("tasks.lock_shared", task_id=target_id)
        target = tx.one("tasks.get", task_id=target_id)
        if target is None:
            raise TaskNotFound(f"No task has the id {target_id[:80]!r} given as a dependency")
        seq = tx.value(
            "dependencies.add", task_id=task_id, depends_on_task_id=target_id, now_ms=now_ms
        )
        if seq is None:
            raise DuplicateDependency
        open_count += _is_counted(tx, target, seq)
    if not open_count:
        return None
    return tx.one("tasks.count_open_dependencies", task_id=task_id, step=open_count)


def record_edge(tx: Transaction, task_id: str, target_id: str, *, now_ms: int) -> None:
    """Tell the feed of a new edge."""
    record(
        tx,
        "task.dependency_added",
        now_ms=now_ms,
        task_id=task_id,
        depends_on_task_id=target_id,
    )


def _check_acyclic(tx: Transaction, task_id: str, target_id: str) -> None:
    way = find_cycle(
        lambda id_: [
            row["depends_on_task_id"] for row in tx.many("dependencies.targets", task_id=id_)
        ],
        start=target_id,
        target=task_id,
    )
    if way is not None:
        raise DependencyCycle(details=[{"field": "cycle", "problem": " → ".join(way)}])


def _is_counted(tx: Transaction, target: Row, seq: int) -> bool:
    """Tell whether an edge to ``target`` counts as open in its task.

    While a release is under way its range counts, new edges included: the number of an edge
    that was removed from the end of the range is given again.
    """
    if not is_resolved(target):
        return True
    release = tx.one("dependencies.release_of", task_id=target["id"])
    return release is not None and release["after_seq"] < seq <= release["upto_seq"]
