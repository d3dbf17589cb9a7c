"""Runs: how an agent's attempt ends, and what can be read of it."""

from __future__ import annotations

from typing import Any

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import (
    Conflict,
    ExpectedStageMismatch,
    NotFound,
    RequiredGatesNotPassed,
    TaskVersionMismatch,
)
from tickets.tracker.domain.documents import FailRequest, PageQuery, TransitionRequest
from tickets.tracker.domain.outcomes import outcome_of
from tickets.tracker.domain.pipelines import Definition, Stage, Transition, missing_gates
from tickets.tracker.domain.records import Outcome, Run, Transitioned
from tickets.tracker.operations import rows
from tickets.tracker.operations.access import (
    check_run_reader,
    check_task_reader,
    lease_of_run,
)
from tickets.tracker.operations.facts import announce, record, system_event, vacate
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.pipelines import Definitions
from tickets.tracker.operations.readiness import (
    Failure,
    Readiness,
    is_resolved,
    settle_dependents,
)
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.web.answers import to_json
from tickets.web.pages import Page, make_page, parse_id_cursor


class RunOperations:
    """Every end of a run, one public method each, one transaction each."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        definitions: Definitions,
        readiness: Readiness,
        managers: Managers,
        feed: TaskFeed,
        *,
        gates: str,
    ) -> None:
        """Keep the parts; ``gates`` (enforce or inform) holds where a pipeline says nothing."""
        self._db = db
        self._clock = clock
        self._definitions = definitions
        self._readiness = readiness
        self._managers = managers
        self._feed = feed
        self._gates = gates

    def check_lease(self, run_id: str, *, holder: bytes | None) -> None:
        """Return where the holder could write to the run now, changing nothing.

        Raises NotFound, Unauthorized, LeaseExpired.
        """
        with self._db.read() as tx:
            lease_of_run(tx, run_id, holder=holder, clock=self._clock)

    def transition(
        self, run_id: str, document: TransitionRequest, *, holder: bytes | None
    ) -> Transitioned:
        """Complete the run and move its task along the pipeline.

        A refusal changes nothing: run, lease and token stay usable. Raises NotFound,
        Unauthorized, LeaseExpired, Conflict, ExpectedStageMismatch, TaskVersionMismatch,
        InvalidTransition, RequiredGatesNotPassed, in this order.

        Source: docs/lifecycle.md, Transition.
        """
        with self._db.write() as tx:
            lease, now_ms = lease_of_run(tx, run_id, holder=holder, clock=self._clock)
            if lease["run_status"] != "running":
                raise Conflict
            task = rows.found_task(tx, lease["task_id"])
            _check_expectations(task, document)
            definition = self._definitions.get(tx, task["pipeline_id"])
            transition = definition.transition(task["stage"], document.trigger)
            self._check_gates(tx, definition, transition, run_id)
            _end(tx, run_id, status="completed", now_ms=now_ms, usage=document.usage)
            stage = self._move(tx, task, definition, transition, now_ms=now_ms)
            instructions = document.instructions
            if instructions is None:
                instructions = transition.instructions or ""
            data = {
                "trigger": document.trigger,
                "from": task["stage"],
                "to": transition.to_stage,
                "instructions": instructions,
            }
            system_event(tx, "transition", run_id=run_id, now_ms=now_ms, data=data)
            record(
                tx,
                "run.transitioned",
                now_ms=now_ms,
                task_id=task["id"],
                run_id=run_id,
                **{name: data[name] for name in ("trigger", "from", "to")},
            )
            outcome = outcome_of(stage.name, dead_letter_stage=task["dead_letter_stage"])
            self._feed.moved(
                tx,
                task["id"],
                run_id=run_id,
                version=task["task_version"] + 1,
                stage=stage.name,
                outcome=outcome if stage.terminal else None,
                now_ms=now_ms,
            )
            manager = self._managers.of(task)
            if manager is not None:
                manager.on_transition(
                    tx,
                    task["id"],
                    run_id=run_id,
                    stage=stage,
                    instructions=instructions,
                    output=document.output,
                    now_ms=now_ms,
                )
            return Transitioned(
                previous_stage=task["stage"],
                new_stage=transition.to_stage,
                trigger=document.trigger,
            )

    def _check_gates(
        self, tx: Transaction, definition: Definition, transition: Transition, run_id: str
    ) -> None:
        if not transition.required_gates or (definition.gates or self._gates) != "enforce":
            return
        newest = {row["gate"]: row["status"] for row in tx.many("gates.newest", run_id=run_id)}
        missing = missing_gates(transition, newest)
        if missing:
            raise RequiredGatesNotPassed(
                f"Required gates have not passed on this run: {', '.join(missing)}",
                details=[
                    {"field": gate, "problem": newest.get(gate, "has no result")}
                    for gate in missing
                ],
            )

    def _move(
        self,
        tx: Transaction,
        task: Row,
        definition: Definition,
        transition: Transition,
        *,
        now_ms: int,
    ) -> Stage:
        stage = definition.stage(transition.to_stage)
        assert stage is not None, "checked when the pipeline was created"
        moved = tx.one(
            "tasks.move",
            task_id=task["id"],
            task_version=task["task_version"],
            to_stage=stage.name,
            claim_role=stage.agent_role,
            is_terminal=int(stage.terminal),
            now_ms=now_ms,
        )
        if moved is None:
            raise TaskVersionMismatch
        vacate(tx, task["stage"])
        settle_dependents(
            tx, task["id"], was_resolved=is_resolved(task), now_resolved=stage.terminal
        )
        announce(tx, moved)
        return stage

    def fail(self, run_id: str, document: FailRequest, *, holder: bytes | None) -> Outcome:
        """End the run as failed; its task waits for the next try or is given up.

        Raises NotFound, Unauthorized, LeaseExpired, Conflict. Source: docs/lifecycle.md,
        Failure and retry.
        """
        with self._db.write() as tx:
            lease, now_ms = lease_of_run(tx, run_id, holder=holder, clock=self._clock)
            _end(
                tx,
                run_id,
                status="failed",
                now_ms=now_ms,
                usage=document.usage,
                error_text=document.error,
            )
            record(
                tx,
                "run.failed",
                now_ms=now_ms,
                task_id=lease["task_id"],
                run_id=run_id,
                error=document.error,
            )
            failure = Failure(
                task_id=lease["task_id"],
                run_id=run_id,
                event_kind="retry_scheduled",
                is_charged=True,
                failed_at_ms=now_ms,
                error=document.error,
            )
            is_dead = self._readiness.after_failure(tx, failure, now_ms=now_ms)
            manager = self._managers.of(lease)
            if manager is not None:
                manager.on_fail(
                    tx,
                    lease["task_id"],
                    run_id=run_id,
                    error=document.error,
                    is_dead=is_dead,
                    now_ms=now_ms,
                )
            return Outcome(status="failed")

    def release(self, run_id: str, *, reason: str | None, holder: bytes | None) -> Outcome:
        """Give the task back unworked: it is claimable at once and nothing is charged.

        Raises NotFound, Unauthorized, LeaseExpired, Conflict.
        """
        with self._db.write() as tx:
            lease, now_ms = lease_of_run(tx, run_id, holder=holder, clock=self._clock)
            _end(tx, run_id, status="released", now_ms=now_ms, usage=None)
            task = tx.one("tasks.release", task_id=lease["task_id"])
            assert task is not None
            system_event(tx, "released", run_id=run_id, now_ms=now_ms, data={"reason": reason})
            record(
                tx,
                "run.released",
                now_ms=now_ms,
                task_id=lease["task_id"],
                run_id=run_id,
                reason=reason,
            )
            self._feed.released(
                tx, lease["task_id"], run_id=run_id, reason=reason, now_ms=now_ms
            )
            vacate(tx, task["stage"])
            announce(tx, task)
            manager = self._managers.of(lease)
            if manager is not None:
                manager.on_release(tx, lease["task_id"], run_id=run_id, now_ms=now_ms)
            return Outcome(status="released")

    def get(self, run_id: str, *, reader: bytes | None) -> Run:
        """Return a run. Raises NotFound, Unauthorized."""
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            check_run_reader(tx, run_id, reader=reader, now_ms=now_ms)
            row = tx.one("runs.get", run_id=run_id, now_ms=now_ms)
        if row is None:
            raise NotFound("No run has this id")
        return rows.run(row)

    def list_of_task(
        self, task_id: str, query: PageQuery, *, reader: bytes | None
    ) -> Page[Run]:
        """Return a page of a task's runs, by attempt. Raises NotFound, InvalidCursor."""
        after_attempt = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            now_ms = self._clock.now_ms()
            check_task_reader(tx, task_id, reader=reader, now_ms=now_ms)
            if tx.value("tasks.seq_of", task_id=task_id) is None:
                raise NotFound("No task has this id")
            found = tx.many(
                "runs.page_of_task",
                task_id=task_id,
                now_ms=now_ms,
                after_attempt=after_attempt,
                limit=query.limit + 1,
            )
        return make_page(
            found, limit=query.limit, make=rows.run, cursor=lambda row: str(row["attempt"])
        )


def _check_expectations(task: Row, document: TransitionRequest) -> None:
    if document.expected_stage is not None and document.expected_stage != task["stage"]:
        raise ExpectedStageMismatch(details=_whereabouts(task))
    expected_version = document.expected_task_version
    if expected_version is not None and expected_version != task["task_version"]:
        raise TaskVersionMismatch(details=_whereabouts(task))


def _whereabouts(task: Row) -> dict[str, object]:
    return {"stage": task["stage"], "task_version": task["task_version"]}


def _end(
    tx: Transaction,
    run_id: str,
    *,
    status: str,
    now_ms: int,
    usage: dict[str, Any] | None,
    error_text: str | None = None,
) -> None:
    ended = tx.one(
        "runs.end",
        run_id=run_id,
        status=status,
        ended_at_ms=now_ms,
        usage_json=to_json(usage or {}),
        error_text=error_text,
    )
    if ended is None:
        raise Conflict
    tx.run("leases.remove", run_id=run_id)
