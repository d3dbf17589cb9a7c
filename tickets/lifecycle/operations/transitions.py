"""What changes the status of a ticket because somebody asked for it."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any, Final

from msgspec import UNSET

from tickets.db.database import Database, Transaction
from tickets.errors import Invalid, PayloadTooLarge
from tickets.lifecycle.domain.actors import Scope, kind_of
from tickets.lifecycle.domain.documents import TicketTransitionRequest
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.expectations import Expectations
from tickets.lifecycle.domain.outputs import error_message, first_error, output_errors
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import check_edge, enter
from tickets.lifecycle.errors import (
    BlockedByDependency,
    DuplicateLink,
    InvalidLink,
    InvalidStatusTransition,
    LeaseRequired,
    NotAssignee,
    OutputInvalid,
    OutputRejected,
)
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.assignments import AssignmentOperations
from tickets.lifecycle.operations.dispatching import Dispatcher
from tickets.lifecycle.operations.hierarchy import descendants_of
from tickets.lifecycle.operations.links import add_link
from tickets.lifecycle.operations.workflow import Later, TicketWorkflow
from tickets.web.answers import to_json

MAX_OUTPUT_BYTES: Final = 1 << 20
MAX_ERROR_CHARACTERS: Final = 4_000

# The fields that belong to each status to go to, and the one that it wants.
_FIELDS: Final = {
    "open": frozenset[str](),
    "in_progress": frozenset({"external"}),
    "blocked": frozenset({"reason", "blocked_kind", "blocked_by_ticket_id"}),
    "done": frozenset({"output_json"}),
    "failed": frozenset({"error_message"}),
    "cancelled": frozenset({"reason", "cascade"}),
}
_REQUIRED: Final = {"blocked": "reason", "failed": "error_message"}
_OPTIONAL: Final = frozenset[str]().union(*_FIELDS.values())


class TransitionOperations:
    """Every way from one status to another that a client may ask for."""

    def __init__(
        self,
        db: Database,
        workflow: TicketWorkflow,
        dispatcher: Dispatcher,
        assignments: AssignmentOperations,
    ) -> None:
        self._db = db
        self._workflow = workflow
        self._dispatcher = dispatcher
        self._assignments = assignments

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
        InvalidStatusTransition, LeaseRequired, NotAssigned, NotReady, BlockedByDependency,
        LinkCycle, NotAssignee, OutputInvalid, OutputRejected.
        """
        check_fields(document)
        if document.to == "in_progress" and document.external is not True:
            with self._db.read() as tx:
                rows.entered(tx, scope)
                found = rows.found_ticket(tx, scope.workspace_id, ticket_id)
            if found.status == "open":
                return self._assignments.start(scope, ticket_id, expectations=expectations)

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            self._move(tx, ticket, notes, document)

        # Whoever has less to do now must not begin what is called off in a moment.
        later: Later | None = [] if document.cascade is True else None
        with self._db.write() as tx:
            state = self._workflow.mutate(
                scope, ticket_id, change, expectations=expectations, later=later
            )
            if later is not None:
                self._cascade(tx, scope, state, later)
            return rows.ticket(tx, state)

    def _move(
        self,
        tx: Transaction,
        ticket: TicketState,
        notes: Notes,
        document: TicketTransitionRequest,
    ) -> None:
        check_edge(ticket.status, document.to)
        before = copy.copy(ticket)
        notes.trigger = kind_of(notes.actor)
        check_lease(ticket, notes, document.to)
        _MOVES[document.to](tx, ticket, notes, document)
        if before.status == "blocked" and document.to == "in_progress":
            self._dispatcher.resume(tx, ticket, notes)
        elif before.status != "open":
            self._dispatcher.leave(tx, before, ticket, notes)

    def _cascade(
        self, tx: Transaction, scope: Scope, ticket: TicketState, later: Later
    ) -> None:
        """Call off all that stands below a ticket, the deepest first, and go on from there.

        ``later`` holds what calling off the ticket itself brings about.
        """
        told = Scope(workspace_id=scope.workspace_id, actor=scope.actor)

        def cancel(tx: Transaction, child: TicketState, notes: Notes) -> None:
            if child.is_terminal:
                return
            before = copy.copy(child)
            notes.trigger = "cascade"
            enter(child, "cancelled", now_ms=notes.now_ms)
            child.status_reason = ticket.status_reason
            self._dispatcher.leave(tx, before, child, notes)

        cause = tx.value("ticket_events.last_of", ticket_id=ticket.id)
        for row in descendants_of(tx, ticket.id):
            self._workflow.mutate(told, row["id"], cancel, caused_by=cause, later=later)
        for follow in later:
            follow(tx)


def check_lease(ticket: TicketState, notes: Notes, to: str) -> None:
    """Return where nobody else is at work, or the actor has proved to be that agent.

    Raises LeaseRequired.
    """
    is_report = to in ("done", "failed", "blocked")
    is_live = ticket.dispatch_state == "dispatched"
    if is_report and is_live and notes.trigger == "agent" and not notes.is_holder:
        raise LeaseRequired


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
    if document.external is True and (is_again or notes.trigger == "agent"):
        raise Invalid.field("external", "is for users and for open tickets")
    if not is_again and document.external is not True:
        raise InvalidStatusTransition("The ticket was reopened at the same moment")
    if rows.is_blocked(tx, ticket.id):
        raise BlockedByDependency
    enter(ticket, "in_progress", now_ms=notes.now_ms)
    if not is_again:
        notes.trigger = "external_start"
        ticket.dispatch_state, ticket.wait_reason = "external", None


def _block(
    tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    blocker_id = document.blocked_by_ticket_id
    kind = "input" if document.blocked_kind is UNSET else document.blocked_kind
    if blocker_id is not UNSET:
        if document.blocked_kind == "input":
            raise Invalid.field("blocked_kind", "is dependency with blocked_by_ticket_id")
        kind = "dependency"
        # The other ticket may have ended already.
        notes.touched.append(ticket.id)
        _depend(tx, ticket, notes, blocker_id)
    enter(ticket, "blocked", now_ms=notes.now_ms)
    ticket.blocked_kind = kind
    ticket.status_reason = None if document.reason is UNSET else document.reason.strip()
    if notes.trigger == "agent":
        notes.trigger = "blocker_reported"


def _depend(tx: Transaction, ticket: TicketState, notes: Notes, blocker_id: str) -> None:
    """Let another ticket block this one, if it does not already.

    Raises TicketNotFound, InvalidLink, LinkCycle.
    """
    if blocker_id == ticket.id:
        raise InvalidLink
    rows.found_ticket(tx, ticket.workspace_id, blocker_id)
    with suppress(DuplicateLink):
        add_link(tx, ticket, notes, "blocks", blocker_id, ticket.id)


def _complete(
    tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    output = None if document.output_json is UNSET else to_json(document.output_json)
    if output is None and notes.is_holder:
        output = tx.value(
            "ticket_dispatches.draft_of", ticket_id=ticket.id, generation=ticket.generation
        )
    complete(tx, ticket, notes, output)


def complete(
    tx: Transaction, ticket: TicketState, notes: Notes, output_json: str | None
) -> None:
    """Let a ticket end well where its output fits; else let it fail, or refuse it.

    Raises OutputInvalid for a person, and OutputRejected for an agent where the ticket or its
    workspace says so.
    """
    errors = output_errors(ticket.output_schema_json, output_json)
    if not errors:
        enter(ticket, "done", now_ms=notes.now_ms)
        ticket.output_json = output_json
        return
    if not notes.is_holder:
        raise OutputInvalid(first_error(errors), details={"output_errors": errors})
    if rows.setting(tx, ticket, "on_invalid_output", "fail") == "reject":
        raise OutputRejected(first_error(errors), details={"output_errors": errors})
    fail(ticket, notes, error_message(errors), error_code="output_invalid")
    notes.trigger, notes.output_errors = "output_invalid", errors


def _fail(
    _tx: Transaction, ticket: TicketState, notes: Notes, document: TicketTransitionRequest
) -> None:
    assert document.error_message is not UNSET, "it is required"
    fail(ticket, notes, document.error_message, error_code="reported")


def fail(ticket: TicketState, notes: Notes, message: str, *, error_code: str) -> None:
    """Let a ticket fail with this message."""
    enter(ticket, "failed", now_ms=notes.now_ms)
    ticket.error_message = message[:MAX_ERROR_CHARACTERS]
    ticket.status_reason = ticket.error_message
    notes.error_code = error_code


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
