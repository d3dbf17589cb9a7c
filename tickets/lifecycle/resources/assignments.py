"""Who works on a ticket."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid, InvalidCursor, InvalidLimit
from tickets.lifecycle.domain.documents import (
    AssignRequest,
    DelegateRequest,
    Expecting,
    TicketPageQuery,
    WorkspaceQuery,
)
from tickets.lifecycle.domain.records import DispatchRow, Ticket
from tickets.lifecycle.errors import (
    DelegationTooDeep,
    ExecutionLocked,
    InvalidDelegation,
    InvalidSchema,
    InvalidStatusTransition,
    NotAssigned,
    NotAssignee,
    NotReady,
    ParentTooDeep,
    TeamNotFound,
    TicketTerminal,
)
from tickets.lifecycle.operations.assignments import AssignmentOperations
from tickets.lifecycle.operations.lists import TicketLists
from tickets.lifecycle.resources.scope import (
    CHANGE_ERRORS,
    CHANGE_HEADERS,
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


class TicketAssign:
    """HTTP for giving a ticket to somebody."""

    def __init__(self, assignments: AssignmentOperations) -> None:
        self._assignments = assignments

    @endpoint(
        "Assign a ticket to an agent or a team",
        body=AssignRequest,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=CHANGE_HEADERS,
        errors=(
            Invalid,
            *CHANGE_ERRORS,
            TeamNotFound,
            TicketTerminal,
            NotReady,
            NotAssignee,
            DelegationTooDeep,
        ),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: AssignRequest,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/assign`` → 200 ticket after the attempt to start it."""
        ticket = self._assignments.assign(
            scope_of(req, query, document),
            ticket_id,
            document,
            expectations=expectations_of(req, document),
        )
        return tagged(resp, ticket)


class TicketUnassign:
    """HTTP for taking a ticket from everybody."""

    def __init__(self, assignments: AssignmentOperations) -> None:
        self._assignments = assignments

    @endpoint(
        "Let nobody be meant to work on a ticket",
        body=Expecting,
        body_optional=True,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=CHANGE_HEADERS,
        errors=(Invalid, *CHANGE_ERRORS, ExecutionLocked, TicketTerminal),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: Expecting,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/unassign`` → 200 ticket; not while it is in progress."""
        ticket = self._assignments.unassign(
            scope_of(req, query, document),
            ticket_id,
            expectations=expectations_of(req, document),
        )
        return tagged(resp, ticket)


class TicketDelegate:
    """HTTP for handing a ticket, or a part of it, to another agent."""

    def __init__(self, assignments: AssignmentOperations) -> None:
        self._assignments = assignments

    @endpoint(
        "Delegate a ticket, or a new child of it",
        body=DelegateRequest,
        query=WorkspaceQuery,
        answer=Ticket,
        also=(201,),
        headers=(ETAG_HEADER,),
        request_headers=CHANGE_HEADERS,
        errors=(
            Invalid,
            *CHANGE_ERRORS,
            InvalidDelegation,
            InvalidSchema,
            NotAssignee,
            NotReady,
            ParentTooDeep,
            DelegationTooDeep,
            TicketTerminal,
        ),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: DelegateRequest,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/delegate`` → 200 this ticket, or 201 the new ``child``.

        Who delegates is the ticket's assignee or one of its collaborators.
        """
        ticket, is_new = self._assignments.delegate(
            scope_of(req, query, document),
            ticket_id,
            document,
            expectations=expectations_of(req, document),
        )
        if is_new:
            resp.status = 201
            resp.set_header("Location", f"/tickets/{ticket.id}")
        return tagged(resp, ticket)


class TicketDispatch:
    """HTTP for starting a ticket."""

    def __init__(self, assignments: AssignmentOperations) -> None:
        self._assignments = assignments

    @endpoint(
        "Try to start a ticket",
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=WRITE_HEADERS,
        errors=(*WRITE_ERRORS, NotAssigned, InvalidStatusTransition),
    )
    def on_post(
        self, req: Request, resp: Response, ticket_id: str, query: WorkspaceQuery
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/dispatch`` → 200 ticket.

        One that is not ready waits; ``dispatch.wait_reason`` says for what. One that is in
        progress stays as it is.
        """
        return tagged(resp, self._assignments.dispatch(scope_of(req, query), ticket_id))


class TicketDispatches:
    """HTTP for the tasks that a ticket was given."""

    def __init__(self, lists: TicketLists) -> None:
        self._lists = lists

    @endpoint(
        "List the tasks that a ticket was given",
        query=TicketPageQuery,
        answer=Page[DispatchRow],
        request_headers=READ_HEADERS,
        errors=(*READ_ERRORS, InvalidLimit, InvalidCursor),
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: TicketPageQuery
    ) -> Page[DispatchRow]:
        """``GET /tickets/{ticket_id}/dispatches`` → 200 page, by generation."""
        return self._lists.dispatches(scope_of(req, query), ticket_id, query)
