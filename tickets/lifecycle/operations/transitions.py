"""What changes the status of a ticket because somebody asked for it."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from tickets.db.database import Database, Transaction
from tickets.errors import Invalid, PayloadTooLarge
from tickets.lifecycle.domain.actors import Scope, kind_of
from tickets.lifecycle.domain.documents import TicketTransitionRequest
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.expectations import Expectations
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import check_edge, enter
from tickets.lifecycle.errors import (
    BlockedByDependency,
    NotAssigned,
    NotAssignee,
    NotReady,
)
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.web.answers import to_json

MAX_OUTPUT_BYTES: Final = 1 << 20
MAX_ERROR_CHARACTERS: Final = 4_000

# The fields that belong to each status to go to, and the one that it wants.
_FIELDS: Final = {
    "open": frozenset[str](),
    "in_progress": frozenset({"external"}),
    "blocked": frozenset({"reason", "blocked_kind"}),
    "done": frozenset({"output_json"}),
    "failed": frozenset({"error_message"}),
    "cancelled": frozenset({"reason"}),
}
_REQUIRED: Final = {"blocked": "reason", "failed": "error_message"}
_OPTIONAL: Final = frozenset[str]().union(*_FIELDS.values())


class TransitionOperations:
    """Every way from one status to another that a client may ask for."""

    def __init__(self, db: Database, workflow: TicketWorkflow) -> None:
        self._db = db
        self._workflow = workflow

    def transition(
        self,
        scope: Scope,
        ticket_id: str,
        document: TicketTransitionRequest,
        *,
        expectations: Expectations,
    ) -> Ticket:
        """Bring a ticket to another status.

        Raises Invalid, PayloadTooLarge, as ``TicketWorkflow.mutate`` does, and
        InvalidStatusTransition, NotAssigned, NotReady, BlockedByDependency, NotAssignee.
        """
        check_fields(document)

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            check_edge(ticket.status, document.to)
            notes.trigger = kind_of(notes.actor)
            _MOVES[document.to](tx, ticket, notes, document)

        with self._db.write() as tx:
            state = self._workflow.mutate(scope, ticket_id, change, expectations=expectations)
            return rows.ticket(tx, state)


def check_fields(document: TicketTransitionRequest) -> None:
    """Return where a document has the fields of its target and no others.

    Raises Invalid, and PayloadTooLarge for an output beyond all measure.
    """
    for name in sorted(_OPTIONAL - _FIELDS[document.to]):
        if getattr(document, name) is not UNSET:
            raise Invalid.field(name, f"does not belong to a transition to {document.to}")
    required = _REQUIRED.get(document.to)
    if required is not None and getattr(document, required) is UNSET:
        raise Invalid.field(required, "is required")
    if document.output_json is not UNSET:
        check_output_size(document.output_json)


def check_output_size(output: Any) -> str:
    """Return an output as it is stored. Raises PayloadTooLarge."""
    text = to_json(output)
    if len(text.encode()) > MAX_OUTPUT_BYTES:
        raise PayloadTooLarge(f"The output is larger than {MAX_OUTPUT_BYTES} bytes")
    return text


def _start(
    tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    is_again = ticket.status == "blocked"
    is_external = document.external is True
    if is_external and (is_again or notes.trigger == "agent"):
        raise Invalid.field("external", "is for users and for open tickets")
    if not is_again and not is_external:
        raise NotReady if ticket.is_assigned else NotAssigned
    if rows.blockers_of(tx, ticket.id):
        raise BlockedByDependency
    enter(ticket, "in_progress", now_ms=notes.now_ms)
    if not is_again:
        notes.trigger = "external_start"
        ticket.dispatch_state, ticket.wait_reason = "external", None


def _block(
    _tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    enter(ticket, "blocked", now_ms=notes.now_ms)
    ticket.blocked_kind = "input" if document.blocked_kind is UNSET else document.blocked_kind
    ticket.status_reason = None if document.reason is UNSET else document.reason.strip()
    if notes.trigger == "agent":
        notes.trigger = "blocker_reported"


def _complete(
    _tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    enter(ticket, "done", now_ms=notes.now_ms)
    if document.output_json is not UNSET:
        ticket.output_json = to_json(document.output_json)


def _fail(
    _tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    enter(ticket, "failed", now_ms=notes.now_ms)
    assert document.error_message is not UNSET, "it is required"
    ticket.error_message = document.error_message[:MAX_ERROR_CHARACTERS]
    ticket.status_reason = ticket.error_message


def _cancel(
    _tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    check_may_cancel(ticket, notes.actor)
    enter(ticket, "cancelled", now_ms=notes.now_ms)
    ticket.status_reason = None if document.reason is UNSET else document.reason.strip()


def check_may_cancel(ticket: TicketState, actor: str) -> None:
    """Return where this actor may call the ticket off: an agent may its own.

    Raises NotAssignee.
    """
    agent_id = Scope(workspace_id=ticket.workspace_id, actor=actor).agent_id
    own = (ticket.assigned_agent_id, ticket.delegated_by_agent_id)
    if agent_id is not None and agent_id not in own and actor != ticket.created_by:
        raise NotAssignee


_MOVES: Final = {
    "in_progress": _start,
    "blocked": _block,
    "done": _complete,
    "failed": _fail,
    "cancelled": _cancel,
}
