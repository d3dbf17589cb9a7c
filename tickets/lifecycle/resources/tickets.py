"""``/tickets``, one ticket, and its way through the statuses."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    Invalid,
    InvalidCursor,
    InvalidLimit,
    PayloadTooLarge,
    PipelineNotFound,
)
from tickets.lifecycle.domain.documents import (
    EventQuery,
    NewTicket,
    TicketChanges,
    TicketTransitionRequest,
    WorkspaceQuery,
)
from tickets.lifecycle.domain.records import Ticket, TicketEvent
from tickets.lifecycle.errors import (
    BlockedByDependency,
    ExecutionLocked,
    IntegrationNotConfigured,
    InvalidStatusTransition,
    NotAssigned,
    NotAssignee,
    NotReady,
    TicketTerminal,
)
from tickets.lifecycle.operations.events import EventOperations
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.transitions import TransitionOperations
from tickets.lifecycle.resources.scope import (
    CHANGE_ERRORS,
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    WRITE_HEADERS,
    expectations_of,
    scope_of,
    tagged,
)
from tickets.web.conditions import ETAG_HEADER
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


class TicketCollection:
    """HTTP for all tickets of a workspace."""

    def __init__(self, tickets: TicketOperations) -> None:
        self._tickets = tickets

    @endpoint(
        "Create a ticket",
        body=NewTicket,
        query=WorkspaceQuery,
        answer=Ticket,
        status=201,
        headers=(ETAG_HEADER, "Location"),
        request_headers=READ_HEADERS,
        errors=(Invalid, *WRITE_ERRORS, PipelineNotFound, IntegrationNotConfigured),
    )
    def on_post(
        self, req: Request, resp: Response, document: NewTicket, query: WorkspaceQuery
    ) -> Ticket:
        """``POST /tickets`` → 201 ticket, open from the start."""
        ticket = self._tickets.create(scope_of(req, query, document), document)
        resp.set_header("Location", f"/tickets/{ticket.id}")
        return tagged(resp, ticket)


class TicketItem:
    """HTTP for one ticket."""

    def __init__(self, tickets: TicketOperations) -> None:
        self._tickets = tickets

    @endpoint(
        "Get a ticket",
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=READ_HEADERS,
        errors=READ_ERRORS,
    )
    def on_get(
        self, req: Request, resp: Response, ticket_id: str, query: WorkspaceQuery
    ) -> Ticket:
        """``GET /tickets/{ticket_id}`` → 200 ticket."""
        return tagged(resp, self._tickets.get(scope_of(req, query), ticket_id))

    @endpoint(
        "Change a ticket; what is absent stays",
        body=TicketChanges,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=WRITE_HEADERS,
        errors=(
            Invalid,
            *CHANGE_ERRORS,
            PipelineNotFound,
            ExecutionLocked,
            TicketTerminal,
            IntegrationNotConfigured,
        ),
    )
    def on_patch(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: TicketChanges,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``PATCH /tickets/{ticket_id}`` → 200 ticket.

        Null clears a field that may be null. A change to what is there already changes
        nothing, its version included.
        """
        ticket = self._tickets.change(
            scope_of(req, query, document),
            ticket_id,
            document,
            expectations=expectations_of(req, document),
        )
        return tagged(resp, ticket)


class TicketTransition:
    """HTTP for the status of a ticket."""

    def __init__(self, transitions: TransitionOperations) -> None:
        self._transitions = transitions

    @endpoint(
        "Bring a ticket to another status",
        body=TicketTransitionRequest,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=WRITE_HEADERS,
        errors=(
            Invalid,
            *CHANGE_ERRORS,
            InvalidStatusTransition,
            NotAssigned,
            NotReady,
            BlockedByDependency,
            NotAssignee,
            PayloadTooLarge,
        ),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: TicketTransitionRequest,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/transition`` → 200 ticket.

        Fields by target: ``in_progress``: ``external``; ``blocked``: ``reason`` (required),
        ``blocked_kind``; ``done``: ``output_json``; ``failed``: ``error_message`` (required);
        ``cancelled``: ``reason``. Others are refused.
        """
        ticket = self._transitions.transition(
            scope_of(req, query, document),
            ticket_id,
            document,
            expectations=expectations_of(req, document),
        )
        return tagged(resp, ticket)


class TicketEvents:
    """HTTP for the history of a ticket."""

    def __init__(self, events: EventOperations) -> None:
        self._events = events

    @endpoint(
        "List a ticket's events",
        query=EventQuery,
        answer=Page[TicketEvent],
        request_headers=READ_HEADERS,
        errors=(*READ_ERRORS, InvalidLimit, InvalidCursor),
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: EventQuery
    ) -> Page[TicketEvent]:
        """``GET /tickets/{ticket_id}/events?type=&limit=&cursor=`` → 200 page, by id."""
        return self._events.list_of_ticket(scope_of(req, query), ticket_id, query)
