"""What every request about tickets says besides its document: where, as whom, and on what."""

from __future__ import annotations

from typing import Final

from falcon import Request, Response

from tickets.errors import LeaseExpired, PreconditionFailed, Unauthorized
from tickets.ids import hash_token
from tickets.lifecycle.domain.actors import USER, Scope, check_actor
from tickets.lifecycle.domain.documents import Expecting, Scoped, WorkspaceQuery
from tickets.lifecycle.domain.expectations import Expectations
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.errors import (
    AgentNotFound,
    StatusMismatch,
    TicketNotFound,
    VersionConflict,
    WorkspaceArchived,
    WorkspaceMismatch,
    WorkspaceNotFound,
    WorkspaceRequired,
)
from tickets.web.conditions import ETAG_HEADER, etag, read_condition
from tickets.web.headers import ACTOR_HEADER, WORKSPACE_HEADER

LEASE_HEADER: Final = "X-Lease-Token"
MATCH_HEADER: Final = "If-Match"

READ_HEADERS: Final = (WORKSPACE_HEADER, ACTOR_HEADER)
WRITE_HEADERS: Final = (*READ_HEADERS, LEASE_HEADER)
CHANGE_HEADERS: Final = (*WRITE_HEADERS, MATCH_HEADER)
READ_ERRORS: Final = (
    WorkspaceRequired,
    WorkspaceMismatch,
    WorkspaceNotFound,
    AgentNotFound,
    TicketNotFound,
)
WRITE_ERRORS: Final = (*READ_ERRORS, WorkspaceArchived, Unauthorized, LeaseExpired)
CHANGE_ERRORS: Final = (*WRITE_ERRORS, PreconditionFailed, VersionConflict, StatusMismatch)


def scope_of(req: Request, query: WorkspaceQuery, document: Scoped | None = None) -> Scope:
    """Return where and as whom a request acts.

    Raises WorkspaceRequired, WorkspaceMismatch, Invalid for an actor that cannot be.
    """
    named = (
        req.get_header(WORKSPACE_HEADER),
        query.workspace_id,
        None if document is None else document.workspace_id,
    )
    ids = {each for each in named if each is not None}
    if len(ids) > 1:
        raise WorkspaceMismatch
    if not ids:
        raise WorkspaceRequired
    actor, token = req.get_header(ACTOR_HEADER), req.get_header(LEASE_HEADER)
    return Scope(
        workspace_id=ids.pop(),
        actor=USER if actor is None else check_actor(actor),
        lease_hash=None if token is None else hash_token(token) or b"",
    )


def expectations_of(req: Request, document: Expecting) -> Expectations:
    """Return what a request wants the ticket to be. Raises Invalid for a malformed header."""
    return Expectations(
        condition=read_condition(req),
        version=document.expected_version,
        status=document.expected_status,
    )


def tagged(resp: Response, ticket: Ticket) -> Ticket:
    """Put the version of a ticket on the response."""
    resp.set_header(ETAG_HEADER, etag(ticket.version))
    return ticket
