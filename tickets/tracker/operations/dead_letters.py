"""The dead letter: tasks taken out of the queue, and put back."""

from __future__ import annotations

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import Invalid, NotDeadLettered, TaskLeased, TaskTerminal
from tickets.tracker.domain.records import Outcome
from tickets.tracker.domain.retry import NEVER_AGAIN_MS
from tickets.tracker.operations.facts import announce, record, vacate
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.pipelines import Definitions
from tickets.tracker.operations.readiness import Readiness, is_resolved, settle_dependents
from tickets.tracker.operations.rows import found_task
from tickets.tracker.operations.task_feed import TaskFeed

CANCELLED = "cancelled"


class DeadLetterOperations:
    """Cancel and requeue."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        definitions: Definitions,
        readiness: Readiness,
        managers: Managers,
        feed: TaskFeed,
    ) -> None:
        self._db = db
        self._clock = clock
        self._managers = managers
        self._definitions = definitions
        self._readiness = readiness
        self._feed = feed

    def cancel(self, task_id: str, *, reason: str | None) -> Outcome:
        """Take the task out of the queue for good; a live run ends and its agent sees 410.

        Repeating it changes nothing. Raises NotFound, TaskTerminal.
        """
        with self._db.write() as tx:
            tx.hold("tasks.lock", task_id=task_id)
            now_ms = self._clock.now_ms()
            self._readiness.expire_if_over(tx, task_id, now_ms=now_ms)
            task = found_task(tx, task_id)
            self._managers.check_free(task)
            if task["dead_letter_reason"] == CANCELLED:
                return Outcome(status=CANCELLED)
            if task["is_terminal"]:
                raise TaskTerminal
            run_id = self._end_live_run(
                tx, task_id, stage=task["stage"], reason=reason, now_ms=now_ms
            )
            give_up(tx, task, reason=CANCELLED, version_step=0, now_ms=now_ms)
            record(
                tx,
                "task.cancelled",
                now_ms=now_ms,
                task_id=task_id,
                run_id=run_id,
                reason=reason,
            )
            self._feed.withdrawn(
                tx,
                task_id,
                run_id=run_id,
                version=task["task_version"],
                reason=reason,
                now_ms=now_ms,
            )
            return Outcome(status=CANCELLED)

    def _end_live_run(
        self,
        tx: Transaction,
        task_id: str,
        *,
        stage: str,
        reason: str | None,
        now_ms: int,
    ) -> str | None:
        lease = tx.one("leases.active_of_task", task_id=task_id)
        if lease is None:
            return None
        tx.run("leases.revoke", run_id=lease["run_id"])
        tx.one(
            "runs.end",
            run_id=lease["run_id"],
            status=CANCELLED,
            ended_at_ms=now_ms,
            usage_json="{}",
            error_text=reason,
        )
        vacate(tx, stage)
        run_id: str = lease["run_id"]
        return run_id

    def requeue(self, task_id: str, *, stage: str | None) -> Outcome:
        """Take the task out of the dead letter with a new failure budget.

        It goes to ``stage``, else back to the stage in which it was given up. Raises
        NotFound, NotDeadLettered, Invalid (unknown stage), TaskLeased (a triage agent has it).
        """
        with self._db.write() as tx:
            tx.hold("tasks.lock", task_id=task_id)
            now_ms = self._clock.now_ms()
            self._readiness.expire_if_over(tx, task_id, now_ms=now_ms)
            task = found_task(tx, task_id)
            self._managers.check_free(task)
            if task["dead_letter_reason"] is None:
                raise NotDeadLettered
            if task["is_leased"]:
                raise TaskLeased
            definition = self._definitions.get(tx, task["pipeline_id"])
            name = stage if stage is not None else task["dead_letter_from_stage"]
            target = definition.stage(name if name is not None else task["stage"])
            if target is None:
                raise Invalid.field("stage", "is not a stage of the task's pipeline")
            row = tx.one(
                "tasks.revive",
                task_id=task_id,
                stage=target.name,
                version_step=int(target.name != task["stage"]),
                claim_role=target.agent_role,
                is_terminal=int(target.terminal),
                now_ms=now_ms,
            )
            assert row is not None
            settle_dependents(
                tx, task_id, was_resolved=is_resolved(task), now_resolved=target.terminal
            )
            record(
                tx,
                "task.requeued",
                now_ms=now_ms,
                task_id=task_id,
                from_stage=task["stage"],
                stage=target.name,
            )
            self._feed.requeued(
                tx,
                task_id,
                version=task["task_version"] + int(target.name != task["stage"]),
                stage=target.name,
                now_ms=now_ms,
            )
            announce(tx, row)
            return Outcome(status="requeued")


def give_up(tx: Transaction, task: Row, *, reason: str, version_step: int, now_ms: int) -> None:
    """Take a task out of the queue for good, where it stands."""
    tx.one(
        "tasks.give_up",
        task_id=task["id"],
        stage=task["stage"],
        version_step=version_step,
        claim_role=task["claim_role"],
        is_terminal=0,
        is_dead=1,
        failed_attempts=task["failed_attempts"],
        dead_letter_reason=reason,
        next_eligible_at_ms=NEVER_AGAIN_MS,
        now_ms=now_ms,
    )
