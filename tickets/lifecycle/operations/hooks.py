"""From the tracker back to the ticket: what becomes of a task, in the transaction of that."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from tickets.db.database import Row, Transaction
from tickets.errors import TicketsError
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.outcomes import outcome_of
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import enter
from tickets.lifecycle.errors import ManagedByTicket, TicketBlocked
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.dispatch import TicketDispatcher, end
from tickets.lifecycle.operations.reports import REPORT_PREFIX, Reports
from tickets.lifecycle.operations.sweeping import Waiting
from tickets.lifecycle.operations.telling import LedgerFollower
from tickets.lifecycle.operations.transitions import (
    check_output_size,
    complete,
    fail,
)
from tickets.lifecycle.operations.workflow import Change, TicketWorkflow
from tickets.tracker.domain.pipelines import Stage
from tickets.tracker.operations.rows import found_task

# What a ticket says whose agent failed without a word.
NO_ERROR: Final = "the agent failed"


class TicketTasks:
    """The manager of the tasks that tickets were given.

    The task's row is locked by then. Facts of a task that its ticket has given up mean nothing.
    """

    def __init__(
        self,
        workflow: TicketWorkflow,
        dispatcher: TicketDispatcher,
        reports: Reports,
        waiting: Waiting,
        ledger: LedgerFollower,
    ) -> None:
        self._workflow = workflow
        self._dispatcher = dispatcher
        self._reports = reports
        self._waiting = waiting
        self._ledger = ledger

    def refusal(self) -> TicketsError:
        """Return what a client is told who changes what is the ticket's to change."""
        return ManagedByTicket()

    def on_claim(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        attempt: int,
        agent_id: str,
        expires_at_ms: int,
        now_ms: int,  # noqa: ARG002  # nothing is dated by it
    ) -> None:
        """Note who works on the ticket now."""
        tx.run(
            "ticket_dispatches.claimed",
            task_id=task_id,
            run_id=run_id,
            attempt=attempt,
            agent_id=agent_id,
            expires_at_ms=expires_at_ms,
        )

    def on_heartbeat(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        expires_at_ms: int,
        now_ms: int,
    ) -> None:
        """Note how long the lease lasts, and that somebody works on the ticket.

        Its dispatch is locked before the ledger's snapshot of it, as in any change of a ticket.
        """
        ticket_id = tx.value(
            "ticket_dispatches.extended",
            task_id=task_id,
            run_id=run_id,
            expires_at_ms=expires_at_ms,
        )
        if ticket_id is not None:
            self._ledger.alive(tx, ticket_id, now_ms=now_ms)

    def on_event(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,  # noqa: ARG002  # its dispatch knows it
        kind: str,
        data: Any,
        now_ms: int,  # noqa: ARG002  # a change reads the clock itself
    ) -> None:
        """Take what the agent reports of the ticket; other kinds are its own affair."""
        if kind.startswith(REPORT_PREFIX):
            row = _live(tx, task_id)
            if row is not None:
                self._reports.take(tx, row, kind, data)

    def on_alive(self, tx: Transaction, task_id: str, *, now_ms: int) -> None:
        """Note that somebody works on the ticket."""
        if self._ledger.is_on:
            ticket_id = tx.value("ticket_dispatches.ticket_of", task_id=task_id)
            if ticket_id is not None:
                self._ledger.alive(tx, ticket_id, now_ms=now_ms)

    def on_transition(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        stage: Stage,
        instructions: str,
        output: Any,
        now_ms: int,  # noqa: ARG002  # a change reads the clock itself
    ) -> None:
        """Follow the task to its next stage, or end with it.

        Raises TicketBlocked, OutputRejected, PayloadTooLarge, which undo the transition.
        """
        row = _live(tx, task_id)
        if row is None:
            return
        ticket = rows.found_ticket(tx, row["workspace_id"], row["ticket_id"])
        if not stage.terminal:
            self._dispatcher.place(tx, ticket, row, stage.name)
            # Where somebody else goes on with it, this agent has less in hand.
            self._waiting.next_for(tx, ticket.workspace_id, row["agent_id"], caused_by=None)
            return
        outcome = outcome_of(
            stage.name,
            dead_letter_stage=found_task(tx, task_id)["dead_letter_stage"],
            chosen=rows.setting(tx, ticket, "stage_outcomes", {}),
        )
        output_json = row["output_json"] if output is UNSET else check_output_size(output)
        if ticket.status == "blocked":
            self._unblock(tx, row)

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            notes.is_holder = True
            notes.task_id, notes.run_id, notes.stage = task_id, run_id, stage.name
            notes.trigger = "run_completed"
            if outcome == "done":
                complete(tx, ticket, notes, output_json)
                reason = "completed" if ticket.status == "done" else "failed"
            elif outcome == "failed":
                message = instructions.strip() or f"reached stage {stage.name}"
                fail(ticket, notes, message, error_code="run_failed")
                notes.trigger, reason = "run_failed", "failed"
            else:
                enter(ticket, "cancelled", now_ms=notes.now_ms)
                ticket.status_reason = instructions.strip() or None
                notes.trigger, reason = "run_cancelled", "cancelled"
            end(tx, ticket, notes, reason, stage=stage.name)

        self._mutate(row, change)

    def _unblock(self, tx: Transaction, row: Row) -> None:
        """Let a blocked ticket go on first whose agent came to an end nevertheless.

        Raises TicketBlocked where other tickets block it.
        """
        if rows.is_blocked(tx, row["ticket_id"]):
            raise TicketBlocked

        def change(_tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            enter(ticket, "in_progress", now_ms=notes.now_ms)
            notes.trigger = "agent"

        self._mutate(row, change)

    def on_fail(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,
        error: str | None,
        is_dead: bool,
        now_ms: int,  # noqa: ARG002  # a change reads the clock itself
    ) -> None:
        """Wait for the next try with the task, or give up with it."""
        row = _live(tx, task_id)
        if row is None:
            return
        tx.run("ticket_dispatches.run_over", task_id=task_id, error=error)
        if not is_dead:
            return
        message = (error or "").strip() or NO_ERROR

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            notes.task_id, notes.run_id = task_id, run_id
            notes.trigger = "dead_letter"
            if ticket.status != "in_progress":
                pass
            elif rows.setting(tx, ticket, "on_dead_letter", "fail") == "block":
                enter(ticket, "blocked", now_ms=notes.now_ms)
                ticket.blocked_kind, ticket.status_reason = "input", message
            else:
                fail(ticket, notes, message, error_code="dead_letter")
            self._dispatcher.abandon(tx, ticket, notes, task_id)

        self._mutate(row, change)

    def on_release(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,  # noqa: ARG002  # its dispatch knows it
        now_ms: int,  # noqa: ARG002  # nothing is dated by it
    ) -> None:
        """Wait for the next claim."""
        tx.run("ticket_dispatches.run_over", task_id=task_id, error=None)

    def on_lease_expired(
        self,
        tx: Transaction,
        task_id: str,
        *,
        run_id: str,  # noqa: ARG002  # its dispatch knows it
        now_ms: int,  # noqa: ARG002  # nothing is dated by it
    ) -> None:
        """Wait for the next claim."""
        tx.run("ticket_dispatches.run_over", task_id=task_id, error=None)

    def _mutate(self, row: Row, change: Change) -> None:
        scope = Scope(workspace_id=row["workspace_id"], actor=f"agent:{row['agent_id']}")
        self._workflow.mutate(scope, row["ticket_id"], change)


def _live(tx: Transaction, task_id: str) -> Row | None:
    return tx.one("ticket_dispatches.live_of_task", task_id=task_id)
