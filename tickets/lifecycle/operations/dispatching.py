"""What tickets want of whoever gives them to agents."""

from __future__ import annotations

from typing import Protocol

from tickets.db.database import Transaction
from tickets.lifecycle.domain.actors import SYSTEM, Scope
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.state import TicketState
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


class Deferred:
    """Leaves the first attempt to the next sweep, so that no request waits for it."""

    def __init__(self, workflow: TicketWorkflow, dispatcher: Dispatcher) -> None:
        self._workflow = workflow
        self.reassign = dispatcher.reassign
        self.resume = dispatcher.resume
        self.leave = dispatcher.leave

    def attempt(self, _tx: Transaction, ticket: TicketState, *, caused_by: int | None) -> None:
        """Let an open, assigned ticket wait, without a reason as yet."""

        def wait(_tx: Transaction, ticket: TicketState, _notes: Notes) -> None:
            if ticket.status == "open" and ticket.is_assigned:
                ticket.dispatch_state = "waiting"

        scope = Scope(workspace_id=ticket.workspace_id, actor=SYSTEM)
        self._workflow.mutate(scope, ticket.id, wait, caused_by=caused_by)
