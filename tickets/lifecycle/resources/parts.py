"""What belongs to a ticket: labels, collaborators, links, comments."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import Invalid, InvalidCursor, InvalidLimit
from tickets.lifecycle.domain.documents import (
    LabelsDocument,
    NewCollaborator,
    NewComment,
    NewLink,
    TicketPageQuery,
    WorkspaceQuery,
)
from tickets.lifecycle.domain.records import Channel, Collaborator, Comment, Link, Ticket
from tickets.lifecycle.errors import (
    ChannelNotFound,
    CollaboratorNotFound,
    CommentNotFound,
    DuplicateLink,
    InvalidLink,
    LabelNotFound,
    LinkCycle,
    LinkNotFound,
    TicketTerminal,
)
from tickets.lifecycle.operations.collaborators import CollaboratorOperations
from tickets.lifecycle.operations.comments import CommentOperations
from tickets.lifecycle.operations.links import LinkOperations
from tickets.lifecycle.resources.scope import (
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    WRITE_HEADERS,
    scope_of,
    tagged,
)
from tickets.web.conditions import ETAG_HEADER
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page

LIST_ERRORS = (*READ_ERRORS, InvalidLimit, InvalidCursor)


class TicketLabels:
    """HTTP for the labels of a ticket."""

    def __init__(self, collaborators: CollaboratorOperations) -> None:
        self._collaborators = collaborators

    @endpoint(
        "Put labels on a ticket",
        body=LabelsDocument,
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=WRITE_HEADERS,
        errors=(Invalid, *WRITE_ERRORS),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: LabelsDocument,
        query: WorkspaceQuery,
    ) -> Ticket:
        """``POST /tickets/{ticket_id}/labels`` → 200 ticket; known labels stay as they are."""
        scope = scope_of(req, query, document)
        ticket = self._collaborators.add_labels(scope, ticket_id, document.labels)
        return tagged(resp, ticket)


class TicketLabel:
    """HTTP for one label of a ticket."""

    def __init__(self, collaborators: CollaboratorOperations) -> None:
        self._collaborators = collaborators

    @endpoint(
        "Take a label from a ticket",
        query=WorkspaceQuery,
        answer=Ticket,
        headers=(ETAG_HEADER,),
        request_headers=WRITE_HEADERS,
        errors=(*WRITE_ERRORS, LabelNotFound),
    )
    def on_delete(
        self, req: Request, resp: Response, ticket_id: str, label: str, query: WorkspaceQuery
    ) -> Ticket:
        """``DELETE /tickets/{ticket_id}/labels/{label}`` → 200 ticket, in any case of it."""
        ticket = self._collaborators.remove_label(scope_of(req, query), ticket_id, label)
        return tagged(resp, ticket)


class CollaboratorCollection:
    """HTTP for the collaborators of a ticket."""

    def __init__(self, collaborators: CollaboratorOperations) -> None:
        self._collaborators = collaborators

    @endpoint(
        "Add a collaborator",
        body=NewCollaborator,
        query=WorkspaceQuery,
        answer=Collaborator,
        also=(201,),
        request_headers=WRITE_HEADERS,
        errors=(Invalid, *WRITE_ERRORS),
    )
    def on_post(
        self,
        req: Request,
        resp: Response,
        ticket_id: str,
        document: NewCollaborator,
        query: WorkspaceQuery,
    ) -> Collaborator:
        """``POST /tickets/{ticket_id}/collaborators`` → 201, or 200 where they are there."""
        collaborator, is_new = self._collaborators.add(
            scope_of(req, query, document), ticket_id, document
        )
        resp.status = 201 if is_new else 200
        return collaborator

    @endpoint(
        "List a ticket's collaborators",
        query=TicketPageQuery,
        answer=Page[Collaborator],
        request_headers=READ_HEADERS,
        errors=LIST_ERRORS,
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: TicketPageQuery
    ) -> Page[Collaborator]:
        """``GET /tickets/{ticket_id}/collaborators?limit=&cursor=`` → 200 page."""
        return self._collaborators.list_of_ticket(scope_of(req, query), ticket_id, query)


class CollaboratorItem:
    """HTTP for one collaborator."""

    def __init__(self, collaborators: CollaboratorOperations) -> None:
        self._collaborators = collaborators

    @endpoint(
        "Remove a collaborator",
        query=WorkspaceQuery,
        status=204,
        request_headers=WRITE_HEADERS,
        errors=(*WRITE_ERRORS, CollaboratorNotFound),
    )
    def on_delete(
        self,
        req: Request,
        _resp: Response,
        ticket_id: str,
        collaborator_id: str,
        query: WorkspaceQuery,
    ) -> None:
        """``DELETE /tickets/{ticket_id}/collaborators/{collaborator_id}`` → 204."""
        self._collaborators.remove(scope_of(req, query), ticket_id, collaborator_id)


class LinkCollection:
    """HTTP for the links of a ticket."""

    def __init__(self, links: LinkOperations) -> None:
        self._links = links

    @endpoint(
        "Link a ticket with another one",
        body=NewLink,
        query=WorkspaceQuery,
        answer=Link,
        status=201,
        request_headers=WRITE_HEADERS,
        errors=(Invalid, *WRITE_ERRORS, InvalidLink, DuplicateLink, LinkCycle, TicketTerminal),
    )
    def on_post(
        self,
        req: Request,
        _resp: Response,
        ticket_id: str,
        document: NewLink,
        query: WorkspaceQuery,
    ) -> Link:
        """``POST /tickets/{ticket_id}/links`` → 201 link.

        ``outgoing``: this ticket blocks, or is a duplicate of, the target; ``incoming``: the
        target does. A duplicate that is open or blocked is called off, unless
        ``close_duplicate`` is false.
        """
        return self._links.add(scope_of(req, query, document), ticket_id, document)

    @endpoint(
        "List a ticket's links",
        query=TicketPageQuery,
        answer=Page[Link],
        request_headers=READ_HEADERS,
        errors=LIST_ERRORS,
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: TicketPageQuery
    ) -> Page[Link]:
        """``GET /tickets/{ticket_id}/links?limit=&cursor=`` → 200 page of links."""
        return self._links.list_of_ticket(scope_of(req, query), ticket_id, query)


class LinkItem:
    """HTTP for one link."""

    def __init__(self, links: LinkOperations) -> None:
        self._links = links

    @endpoint(
        "Remove a link",
        query=WorkspaceQuery,
        status=204,
        request_headers=WRITE_HEADERS,
        errors=(*WRITE_ERRORS, LinkNotFound),
    )
    def on_delete(
        self, req: Request, _resp: Response, ticket_id: str, link_id: str, query: WorkspaceQuery
    ) -> None:
        """``DELETE /tickets/{ticket_id}/links/{link_id}`` → 204; from either of its ends."""
        self._links.remove(scope_of(req, query), ticket_id, link_id)


class CommentCollection:
    """HTTP for what is said about a ticket."""

    def __init__(self, comments: CommentOperations) -> None:
        self._comments = comments

    @endpoint(
        "Say something about a ticket",
        body=NewComment,
        query=WorkspaceQuery,
        answer=Comment,
        status=201,
        request_headers=WRITE_HEADERS,
        errors=(Invalid, *WRITE_ERRORS, CommentNotFound),
    )
    def on_post(
        self,
        req: Request,
        _resp: Response,
        ticket_id: str,
        document: NewComment,
        query: WorkspaceQuery,
    ) -> Comment:
        """``POST /tickets/{ticket_id}/comments`` → 201 comment, which never changes.

        The first one makes the ticket's channel.
        """
        return self._comments.add(scope_of(req, query, document), ticket_id, document)

    @endpoint(
        "List a ticket's comments, oldest first",
        query=TicketPageQuery,
        answer=Page[Comment],
        request_headers=READ_HEADERS,
        errors=LIST_ERRORS,
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: TicketPageQuery
    ) -> Page[Comment]:
        """``GET /tickets/{ticket_id}/comments?limit=&cursor=`` → 200 page of comments."""
        return self._comments.list_of_ticket(scope_of(req, query), ticket_id, query)


class ChannelItem:
    """HTTP for the channel of a ticket."""

    def __init__(self, comments: CommentOperations) -> None:
        self._comments = comments

    @endpoint(
        "Get a ticket's channel",
        query=WorkspaceQuery,
        answer=Channel,
        request_headers=READ_HEADERS,
        errors=(*READ_ERRORS, ChannelNotFound),
    )
    def on_get(
        self, req: Request, _resp: Response, ticket_id: str, query: WorkspaceQuery
    ) -> Channel:
        """``GET /tickets/{ticket_id}/channel`` → 200 channel, once there is one."""
        return self._comments.get_channel(scope_of(req, query), ticket_id)
