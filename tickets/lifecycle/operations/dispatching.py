"""What tickets want of whoever gives them to agents, and what happens where nobody does."""

from __future__ import annotations

from typing import Protocol

from tickets.db.database import Transaction
from tickets.lifecycle.domain.actors import SYSTEM, Scope
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import NotReady
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.workflow import TicketWorkflow


class Dispatcher(Protocol):
    """Gives tickets to agents; each call joins the transaction around it."""

    def attempt(self, tx: Transaction, ticket: TicketState, *, caused_by: int | None) -> None:
        """Start an open, assigned ticket where it is ready, else let it wait and say why."""

    def reassign(
        self, tx: Transaction, before: TicketState, ticket: TicketState, notes: Notes
    ) -> None:
        """Within a change that gives a started ticket to somebody else.

        What was given to an agent is taken back; one that is in progress is given to the next
        at once. Raises NotReady.
        """

    def resume(self, tx: Transaction, ticket: TicketState, notes: Notes) -> None:
        """Within a change of a blocked ticket that goes on. Raises NotReady."""

    def leave(
        self, tx: Transaction, before: TicketState, ticket: TicketState, notes: Notes
    ) -> None:
        """Within a change out of ``in_progress``, or from ``blocked`` to an end.

        What was given to an agent is held where the ticket is blocked, else taken back; the
        notes say what that was.
        """


class NoDispatcher:
    """Nobody gives tickets to agents: those that are assigned wait, with the reason."""

    def __init__(self, workflow: TicketWorkflow) -> None:
        self._workflow = workflow

    def attempt(self, tx: Transaction, ticket: TicketState, *, caused_by: int | None) -> None:
        """Let the ticket wait."""
        reason = self._reason(tx, ticket)

        def wait(_tx: Transaction, ticket: TicketState, _notes: Notes) -> None:
            ticket.dispatch_state, ticket.wait_reason = "waiting", reason

        scope = Scope(workspace_id=ticket.workspace_id, actor=SYSTEM)
        self._workflow.mutate(scope, ticket.id, wait, caused_by=caused_by)

    def _reason(self, tx: Transaction, ticket: TicketState) -> str:
        workspace = tx.one("workspaces.get", workspace_id=ticket.workspace_id)
        assert workspace is not None, "it has tickets"
        if workspace["status"] == "paused":
            return "workspace_paused"
        if rows.blockers_of(tx, ticket.id):
            return "blocked_by_dependency"
        return "pipeline_unavailable"

    def reassign(
        self, _tx: Transaction, _before: TicketState, ticket: TicketState, _notes: Notes
    ) -> None:
        """Refuse it for a ticket in progress, which nobody would work on then."""
        if ticket.status == "in_progress":
            raise NotReady("pipeline_unavailable")

    def resume(self, _tx: Transaction, _ticket: TicketState, _notes: Notes) -> None:
        """Do nothing: who works outside goes on by itself."""

    def leave(
        self, _tx: Transaction, _before: TicketState, _ticket: TicketState, _notes: Notes
    ) -> None:
        """Do nothing: nobody was given anything."""
