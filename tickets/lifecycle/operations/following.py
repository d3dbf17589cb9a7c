"""What one change brings about for other tickets, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tickets.db.database import Transaction
from tickets.errors import TicketsError
from tickets.lifecycle.domain.actors import SYSTEM, Scope
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import enter
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.dispatching import Dispatcher
from tickets.lifecycle.operations.workflow import TicketWorkflow

# So that no transaction is long; a sweep comes to the others.
MAX_FOLLOWING: Final = 20


class Following:
    """Starts what was assigned, and lets go on what waited for the ticket that changed."""

    def __init__(self, workflow: TicketWorkflow, dispatcher: Dispatcher) -> None:
        self._workflow = workflow
        self._dispatcher = dispatcher

    def follow(
        self, tx: Transaction, before: TicketState | None, after: TicketState, notes: Notes
    ) -> None:
        """Look at a change that was made."""
        if before is not None and before.version == after.version:
            return
        cause = notes.last_event_id
        if after.status == "open" and after.is_assigned and _is_assigned_anew(before, after):
            self._attempt(tx, after, cause)
        affected = list(notes.touched)
        if before is not None and before.status != after.status and after.is_terminal:
            found = tx.many(
                "ticket_links.dependents_of", ticket_id=after.id, limit=MAX_FOLLOWING
            )
            affected += [row["id"] for row in found]
        if affected:
            # Of two last blockers that end at once, the second has to see the first.
            tx.hold("ticket_links.lock", workspace_id=after.workspace_id)
        for ticket_id in affected[:MAX_FOLLOWING]:
            self.look_again(tx, after.workspace_id, ticket_id, caused_by=cause)

    def look_again(
        self, tx: Transaction, workspace_id: str, ticket_id: str, *, caused_by: int | None
    ) -> None:
        """Let a ticket start or go on where nothing blocks it any more."""
        ticket = rows.found_ticket(tx, workspace_id, ticket_id)
        if ticket.status == "open" and ticket.is_assigned:
            self._attempt(tx, ticket, caused_by)
        elif ticket.blocked_kind == "dependency" and not rows.is_blocked(tx, ticket_id):
            self._unblock(ticket, caused_by)

    def _attempt(self, tx: Transaction, ticket: TicketState, caused_by: int | None) -> None:
        with refusals_passed_over(), tx.savepoint():
            self._dispatcher.attempt(tx, ticket, caused_by=caused_by)

    def _unblock(self, ticket: TicketState, caused_by: int | None) -> None:
        def go_on(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            enter(ticket, "in_progress", now_ms=notes.now_ms)
            notes.trigger = "blocker_resolved"
            self._dispatcher.resume(tx, ticket, notes)

        scope = Scope(workspace_id=ticket.workspace_id, actor=SYSTEM)
        with refusals_passed_over():
            self._workflow.mutate(scope, ticket.id, go_on, caused_by=caused_by)


@contextmanager
def refusals_passed_over() -> Iterator[None]:
    """Let the block be refused: that is no affair of whoever made the change.

    What the service itself could not do undoes all of it, and is tried again.
    """
    try:
        yield
    except TicketsError as error:
        if error.status >= 500:
            raise


def _is_assigned_anew(before: TicketState | None, after: TicketState) -> bool:
    return before is None or (
        (before.assigned_agent_id, before.assigned_team_id)
        != (after.assigned_agent_id, after.assigned_team_id)
    )
