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
    NewTicket,
    TicketChanges,
    TicketQuery,
    TicketTransitionRequest,
    WorkspaceQuery,
)
from tickets.lifecycle.domain.records import Ticket, TicketDetails
from tickets.lifecycle.errors import (
    BlockedByDependency,
    DelegationTooDeep,
    ExecutionLocked,
    IntegrationNotConfigured,
    InvalidDelegation,
    InvalidLink,
    InvalidSchema,
    InvalidStatusTransition,
    LeaseRequired,
    LinkCycle,
    NotAssigned,
    NotAssignee,
    NotReady,
    OutputInvalid,
    OutputRejected,
    ParentCycle,
    ParentTooDeep,
    TeamNotFound,
    TicketTerminal,
)
from tickets.lifecycle.operations.lists import TicketLists
from tickets.lifecycle.operations.tickets import TicketOperations
from tickets.lifecycle.operations.transitions import TransitionOperations
from tickets.lifecycle.resources.scope import (
    CHANGE_ERRORS,
    CHANGE_HEADERS,
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    expectations_of,
    scope_of,
    tagged,
)
from tickets.web.conditions import ETAG_HEADER
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page
from tickets.web.query import query_values


class TicketCollection:
    """HTTP for all tickets of a workspace."""

    def __init__(self, tickets: TicketOperations, lists: TicketLists) -> None:
        self._tickets = tickets
        self._lists = lists

    @endpoint(
        "Create a ticket",
        body=NewTicket,
        query=WorkspaceQuery,
        answer=Ticket,
        status=201,
        headers=(ETAG_HEADER, "Location"),
        request_headers=READ_HEADERS,
        errors=(
            Invalid,
            *WRITE_ERRORS,
            InvalidSchema,
            InvalidDelegation,
            TeamNotFound,
            PipelineNotFound,
            ParentTooDeep,
            DelegationTooDeep,
            IntegrationNotConfigured,
        ),
    )
    def on_post(
        self, req: Request, resp: Response, document: NewTicket, query: WorkspaceQuery
    ) -> Ticket:
        """``POST /tickets`` → 201 ticket, open from the start."""
        ticket = self._tickets.create(scope_of(req, query, document), document)
        resp.set_header("Location", f"/tickets/{ticket.id}")
        return tagged(resp, ticket)

    @endpoint(
        "List the tickets of a workspace",
        query=TicketQuery,
        answer=Page[Ticket],
        request_headers=READ_HEADERS,
        errors=(*READ_ERRORS, InvalidLimit, InvalidCursor),
    )
    def on_get(self, req: Request, _resp: Response, query: TicketQuery) -> Page[Ticket]:
        """``GET /tickets?status=&label=&…&sort=&order=&limit=&cursor=`` → 200 page of tickets.

        ``status`` takes several with commas between; ``label`` may be there several times,
        and all are wanted; ``q`` looks into title and description, in any case.
        """
        labels = query_values(req.query_string, "label")
        return self._lists.page(scope_of(req, query), query, labels)


class TicketItem:
    """HTTP for one ticket."""

    def __init__(self, tickets: TicketOperations) -> None:
        self._tickets = tickets

    @endpoint(
        "Get a ticket",
        query=WorkspaceQuery,
        answer=TicketDetails,
        headers=(ETAG_HEADER,),
        request_headers=READ_HEADERS,
        errors=READ_ERRORS,
    )
    def on_get(
        self, req: Request, resp: Response, ticket_id: str, query: WorkspaceQuery
    ) -> TicketDetails:
        """``GET /tickets/{ticket_id}`` → 200 ticket with collaborators, links, children."""
        ticket = self._tickets.get(scope_of(req, query), ticket_id)
        tagged(resp, ticket)
        return ticket

    @endpoint(
        "Change a ticket; what is absent stays",
        body=TicketChanges,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=CHANGE_HEADERS,
        errors=(
            Invalid,
            *CHANGE_ERRORS,
            InvalidSchema,
            PipelineNotFound,
            ExecutionLocked,
            TicketTerminal,
            ParentCycle,
            ParentTooDeep,
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
        request_headers=CHANGE_HEADERS,
        errors=(
            Invalid,
            *CHANGE_ERRORS,
            InvalidStatusTransition,
            NotAssigned,
            NotReady,
            BlockedByDependency,
            InvalidLink,
            LinkCycle,
            NotAssignee,
            LeaseRequired,
            OutputRejected,
            OutputInvalid,
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
        ``blocked_kind``, ``blocked_by_ticket_id``; ``done``: ``output_json``; ``failed``:
        ``error_message`` (required); ``cancelled``: ``reason``, ``cascade``. Others are
        refused.
        """
        ticket = self._transitions.transition(
            scope_of(req, query, document),
            ticket_id,
            document,
            expectations=expectations_of(req, document),
        )
        return tagged(resp, ticket)
