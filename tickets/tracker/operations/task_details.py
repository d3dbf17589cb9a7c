"""One task with all that belongs to it, and why nobody can claim it."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import NotFound, TaskNotFound
from tickets.tracker.domain.documents import MAX_INT64, RunState
from tickets.tracker.domain.eligibility import Candidate, reasons_against
from tickets.tracker.domain.records import (
    Outcome,
    TaskAssignment,
    TaskDetails,
    TaskRunState,
    TransitionOption,
    Why,
)
from tickets.tracker.operations import rows
from tickets.tracker.operations.access import check_task_reader
from tickets.tracker.operations.dependencies import dependency
from tickets.tracker.operations.pipelines import Definitions
from tickets.web.answers import stored, to_json


class TaskDetailOperations:
    """Reads of one task; and the orchestrator's own note on it."""

    def __init__(self, db: Database, clock: Clock, definitions: Definitions) -> None:
        self._db = db
        self._clock = clock
        self._definitions = definitions

    def get(self, task_id: str, *, reader: bytes | None) -> TaskDetails:
        """Return a task, its latest run, dependencies, assignments and ways on.

        Raises NotFound, Unauthorized.
        """
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            check_task_reader(tx, task_id, reader=reader, now_ms=now_ms)
            row = rows.found_task(tx, task_id)
            definition = self._definitions.get(tx, row["pipeline_id"])
            latest = tx.one("runs.latest", task_id=task_id, now_ms=now_ms)
            task = rows.task(row)
            shown = {name: getattr(task, name) for name in task.__struct_fields__}
            if latest is not None:
                shown["latest_run"] = rows.run(latest)
            return TaskDetails(
                **shown,
                dependencies=[dependency(edge) for edge in _dependencies(tx, task_id)],
                assignments=_assignments(tx, task_id),
                available_transitions=[
                    TransitionOption(
                        trigger=option.trigger,
                        to=option.to_stage,
                        required_gates=list(option.required_gates),
                    )
                    for option in definition.exits(row["stage"])
                ],
            )

    def why(self, task_id: str, *, agent_id: str | None, reader: bytes | None) -> Why:
        """Tell whether the task can be claimed now, and everything that stands against it.

        Raises NotFound, Unauthorized. Source: docs/lifecycle.md, Claim.
        """
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            check_task_reader(tx, task_id, reader=reader, now_ms=now_ms)
            reasons = reasons_against(
                candidate(tx, rows.found_task(tx, task_id)), agent_id=agent_id, now_ms=now_ms
            )
            return Why(claimable=not reasons, reasons=reasons)

    def get_run_state(self, task_id: str) -> TaskRunState:
        """Return the orchestrator's run for the task. Raises TaskNotFound, NotFound (none)."""
        with self._db.read() as tx:
            row = tx.one("tasks.get", task_id=task_id)
        if row is None:
            raise TaskNotFound
        if row["run_id"] is None:
            raise NotFound("No run is recorded for this task")
        return TaskRunState(
            run_id=row["run_id"], workflow_state=stored(row["workflow_state_json"])
        )

    def set_run_state(self, task_id: str, document: RunState) -> Outcome:
        """Replace the orchestrator's run and state of a task; absent ones are cleared.

        Raises TaskNotFound.
        """
        state = document.workflow_state
        with self._db.write() as tx:
            found = tx.run(
                "tasks.set_run_state",
                task_id=task_id,
                run_id=document.run_id,
                workflow_state_json=None if state is None else to_json(state),
            )
            if not found:
                raise TaskNotFound
            return Outcome(status="updated")


def candidate(tx: Transaction, task: Row) -> Candidate:
    """Return all that decides whether a stored task can be claimed."""
    lease = tx.one("leases.active_of_task", task_id=task["id"]) if task["is_leased"] else None
    return Candidate(
        agent_role=task["claim_role"],
        is_terminal=bool(task["is_terminal"]),
        is_dead=bool(task["is_dead"]),
        dead_letter_reason=task["dead_letter_reason"],
        # A moment that was seen to pass stays passed, also where the clock is set back.
        next_eligible_at_ms=task["next_eligible_at_ms"] if task["is_delayed"] else 0,
        open_dependency_ids=[
            edge["depends_on_task_id"]
            for edge in _dependencies(tx, task["id"])
            if not edge["is_resolved"]
        ],
        is_held=bool(task["is_held"]),
        assignee=task["claim_assignee"],
        lease_expires_at_ms=None if lease is None else lease["expires_at_ms"],
        run_id=None if lease is None else lease["run_id"],
        holder=None if lease is None else lease["agent_id"],
    )


def _dependencies(tx: Transaction, task_id: str) -> list[Row]:
    return tx.many("dependencies.of_task", task_id=task_id, after_seq=0, limit=MAX_INT64)


def _assignments(tx: Transaction, task_id: str) -> list[TaskAssignment]:
    found = tx.many("assignments.of_task", task_id=task_id, after_seq=0, limit=MAX_INT64)
    return [
        TaskAssignment(
            agent_id=row["agent_id"],
            assigned_by=row["assigned_by"],
            active=bool(row["active"]),
            created_at_ms=row["created_at_ms"],
            updated_at_ms=row["updated_at_ms"],
        )
        for row in found
    ]
