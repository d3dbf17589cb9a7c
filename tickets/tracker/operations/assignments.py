"""Assignments: a task reserved for one agent."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import NotFound, TaskNotFound
from tickets.tracker.domain.documents import ArrayQuery, NewAssignment
from tickets.tracker.domain.records import Assignment, Outcome
from tickets.tracker.operations.access import check_task_reader
from tickets.tracker.operations.facts import announce, record
from tickets.tracker.operations.managers import Managers
from tickets.web.pages import cut, parse_id_cursor, rows_wanted


class AssignmentOperations:
    """Everything a client can ask of a task's assignments."""

    def __init__(self, db: Database, clock: Clock, managers: Managers) -> None:
        self._db = db
        self._clock = clock
        self._managers = managers

    def assign(self, task_id: str, document: NewAssignment) -> Outcome:
        """Reserve the task for one agent, instead of any other.

        A lease that somebody else holds is not disturbed. Raises TaskNotFound, and what the
        manager of a managed task says.
        """
        with self._db.write() as tx:
            row = reserve(
                tx,
                task_id,
                document.agent_id,
                assigned_by=document.assigned_by,
                clock=self._clock,
            )
            self._managers.check_free(row)
            return Outcome(status="assigned")

    def unassign(self, task_id: str, agent_id: str) -> Outcome:
        """End the active assignment of this agent. Raises NotFound where there is none."""
        with self._db.write() as tx:
            tx.hold("tasks.lock", task_id=task_id)
            now_ms = self._clock.now_ms()
            ended = tx.run(
                "assignments.deactivate", task_id=task_id, agent_id=agent_id, now_ms=now_ms
            )
            if not ended:
                raise NotFound("The task has no active assignment of this agent")
            row = tx.one("tasks.assign", task_id=task_id, agent_id=None)
            assert row is not None
            self._managers.check_free(row)
            record(tx, "task.unassigned", now_ms=now_ms, task_id=task_id, agent_id=agent_id)
            announce(tx, row)
            return Outcome(status="unassigned")

    def list_oldest_first(
        self, task_id: str, query: ArrayQuery, *, reader: bytes | None
    ) -> tuple[list[Assignment], str | None]:
        """Return all assignments and where the next part begins, if the list was cut.

        Raises NotFound, InvalidCursor, Unauthorized.
        """
        after_seq = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            check_task_reader(tx, task_id, reader=reader, now_ms=self._clock.now_ms())
            if tx.value("tasks.seq_of", task_id=task_id) is None:
                raise NotFound("No task has this id")
            found = tx.many(
                "assignments.of_task",
                task_id=task_id,
                after_seq=after_seq,
                limit=rows_wanted(query.limit),
            )
        return cut(
            found, limit=query.limit, make=_assignment, cursor=lambda row: str(row["seq"])
        )


def reserve(
    tx: Transaction, task_id: str, agent_id: str, *, assigned_by: str | None, clock: Clock
) -> Row:
    """Make the agent the only one who may claim the task. Raises TaskNotFound."""
    row = tx.one("tasks.assign", task_id=task_id, agent_id=agent_id)
    if row is None:
        raise TaskNotFound
    now_ms = clock.now_ms()
    tx.run("assignments.deactivate_all", task_id=task_id, now_ms=now_ms)
    tx.run(
        "assignments.activate",
        task_id=task_id,
        agent_id=agent_id,
        assigned_by=assigned_by,
        now_ms=now_ms,
    )
    record(
        tx,
        "task.assigned",
        now_ms=now_ms,
        task_id=task_id,
        agent_id=agent_id,
        assigned_by=assigned_by,
    )
    announce(tx, row)
    return row


def _assignment(row: Row) -> Assignment:
    return Assignment(
        task_id=row["task_id"],
        agent_id=row["agent_id"],
        assigned_by=row["assigned_by"],
        active=bool(row["active"]),
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
    )
