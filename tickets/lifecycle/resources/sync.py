"""``/tickets/{ticket_id}/sync``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid
from tickets.lifecycle.domain.documents import WorkspaceQuery
from tickets.lifecycle.domain.records import Ticket
from tickets.lifecycle.domain.sync_documents import ResolveRequest
from tickets.lifecycle.domain.sync_records import SyncDetails
from tickets.lifecycle.errors import InvalidStatusTransition, NoConflict, NotSynced
from tickets.lifecycle.operations.sync import SyncOperations
from tickets.lifecycle.resources.scope import (
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    scope_of,
    tagged,
)
from tickets.web.conditions import ETAG_HEADER
from tickets.web.endpoint import endpoint


class TicketSync:
    """HTTP for how a ticket and its issue stand."""

    def __init__(self, sync: SyncOperations) -> None:
        self._sync = sync

    @endpoint(
        "Show how a ticket and its issue stand to each other",
        query=WorkspaceQuery,
        answer=SyncDetails,
        request_headers=READ_HEADERS,
        errors=(Invalid, *READ_ERRORS, NotSynced),
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: WorkspaceQuery
    ) -> SyncDetails:
        """``GET /tickets/{ticket_id}/sync`` → 200 sync, shadow, and what is to be sent."""
        return self._sync.get(scope_of(req, query), ticket_id)

    @endpoint(
        "Send again what was given up, and read the issue",
        query=WorkspaceQuery,
        answer=SyncDetails,
        status=202,
        request_headers=READ_HEADERS,
        errors=(Invalid, *WRITE_ERRORS, NotSynced),
    )
    def on_post(
        self, req: Request, _resp: Response, ticket_id: str, query: WorkspaceQuery
    ) -> SyncDetails:
        """``POST /tickets/{ticket_id}/sync`` → 202; the work is done soon after."""
        return self._sync.retry(scope_of(req, query), ticket_id)


class TicketSyncResolution:
    """HTTP for ending a conflict."""

    def __init__(self, sync: SyncOperations) -> None:
        self._sync = sync

    @endpoint(
        "End a conflict in favour of the ticket or of the issue",
        body=ResolveRequest,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=READ_HEADERS,
        errors=(Invalid, *WRITE_ERRORS, NotSynced, NoConflict, InvalidStatusTransition),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: ResolveRequest,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/sync/resolve`` → 200 ticket.

        ``local`` sends every field that differs to Linear, ``remote`` takes them from there.
        """
        scope = scope_of(req, query, document)
        return tagged(resp, self._sync.resolve(scope, ticket_id, document))
