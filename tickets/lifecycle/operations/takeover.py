"""What a ticket takes over from its issue, each through the door that clients use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tickets.db.database import Database, Transaction
from tickets.errors import TicketsError
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import (
    AssignRequest,
    TicketChanges,
    TicketTransitionRequest,
)
from tickets.lifecycle.domain.expectations import NOTHING
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.linear.issues import Issue
from tickets.lifecycle.linear.walk import Step, walk
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.assignments import AssignmentOperations
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.transitions import TransitionOperations

REMOTE_DELETED: Final = "remote_deleted"

_TO: Final[dict[Step, TicketTransitionRequest]] = {
    "dispatch": TicketTransitionRequest(to="in_progress"),
    "external_start": TicketTransitionRequest(to="in_progress", external=True),
    "block": TicketTransitionRequest(to="blocked", reason="Blocked in Linear"),
    "unblock": TicketTransitionRequest(to="in_progress"),
    "complete": TicketTransitionRequest(to="done"),
    "cancel": TicketTransitionRequest(to="cancelled"),
}

Conflict = dict[str, Any]


class Takeover:
    """Changes tickets as their issues have changed; what cannot be is a conflict."""

    def __init__(
        self,
        db: Database,
        tickets: TicketOperations,
        assignments: AssignmentOperations,
        transitions: TransitionOperations,
    ) -> None:
        self._db = db
        self._tickets = tickets
        self._assignments = assignments
        self._transitions = transitions

    def fields(
        self,
        tx: Transaction,
        scope: Scope,
        ticket: TicketState,
        issue: Issue,
        *,
        wanted: str | None,
        accept: frozenset[str],
    ) -> Conflict | None:
        """Take over the fields in ``accept``; return the last conflict.

        ``wanted`` is what the issue's state is to us.
        """
        simple = {
            "title": issue.title,
            "description": issue.description,
            "priority": issue.priority,
            "labels": list(issue.labels),
        }
        given: Any = {field: simple[field] for field in simple if field in accept}
        if given:
            self._change(scope, ticket, TicketChanges(**given))
        conflict = None
        if "parent" in accept and not ticket.is_terminal:
            conflict = self._parent(tx, scope, ticket, issue)
        if "assignee" in accept and not ticket.is_terminal:
            conflict = self._assignee(tx, scope, ticket, issue) or conflict
        if "status" in accept and wanted is not None:
            conflict = self._status(tx, scope, ticket.id, wanted) or conflict
        return conflict

    def cancel(self, scope: Scope, ticket: TicketState) -> None:
        """Call a ticket off whose issue was thrown away."""
        document = TicketTransitionRequest(to="cancelled", reason=REMOTE_DELETED)
        self._transitions.transition(scope, ticket.id, document, expectations=NOTHING)

    def _parent(
        self, tx: Transaction, scope: Scope, ticket: TicketState, issue: Issue
    ) -> Conflict | None:
        """Take over the parent where it has a ticket in this workspace."""
        parent_id = None
        if issue.parent is not None:
            found = tx.one("sync_shadow.ticket_of_issue", external_id=issue.parent)
            if found is None or found["workspace_id"] != scope.workspace_id:
                return None
            parent_id = found["id"]
        document = TicketChanges(parent_ticket_id=parent_id)
        return self._tried(
            "parent",
            ticket.parent_ticket_id,
            parent_id,
            lambda: self._change(scope, ticket, document),
        )

    def _assignee(
        self, tx: Transaction, scope: Scope, ticket: TicketState, issue: Issue
    ) -> Conflict | None:
        """Hand the ticket to the agent that stands for the issue's assignee, if one does."""
        agent_id = tx.value(
            "sync_shadow.agent_of_user",
            workspace_id=scope.workspace_id,
            linear_user_id=issue.assignee,
        )
        if agent_id is None or agent_id == ticket.assigned_agent_id:
            return None
        return self._tried(
            "assignee",
            ticket.assigned_agent_id,
            agent_id,
            lambda: self._assignments.assign(
                scope, ticket.id, AssignRequest(agent_id=agent_id), expectations=NOTHING
            ),
        )

    def _status(
        self, tx: Transaction, scope: Scope, ticket_id: str, wanted: str
    ) -> Conflict | None:
        """Bring the ticket to the status of its issue, the whole way or not at all."""
        ticket = rows.found_ticket(tx, scope.workspace_id, ticket_id)
        is_blocked = rows.is_blocked(tx, ticket_id)
        way = walk(ticket.status, wanted, is_assigned=ticket.is_assigned, is_blocked=is_blocked)
        if way.conflict is not None:
            return conflict_of(way.conflict, "status", ticket.status, wanted)

        def go() -> None:
            for step in way.steps:
                self._transitions.transition(scope, ticket_id, _TO[step], expectations=NOTHING)

        conflict = self._tried("status", ticket.status, wanted, go)
        # Who is assigned and not ready waits for the dispatcher; nobody disagrees.
        return None if way.steps == ("dispatch",) else conflict

    def _change(self, scope: Scope, ticket: TicketState, document: TicketChanges) -> None:
        self._tickets.change(scope, ticket.id, document, expectations=NOTHING)

    def _tried(
        self, field: str, local: Any, remote: Any, work: Callable[[], object]
    ) -> Conflict | None:
        """Do all of something or nothing; return the conflict where it was refused."""
        try:
            with self._db.write():
                work()
        except TicketsError as error:
            if error.status >= 500:
                raise
            code = "output_required" if error.code == "output_invalid" else error.code
            return conflict_of(code, field, local, remote)
        return None


def conflict_of(code: str, field: str, local: Any, remote: Any) -> Conflict:
    """Return a conflict without its time."""
    return {"code": code, "field": field, "local": local, "remote": remote}
