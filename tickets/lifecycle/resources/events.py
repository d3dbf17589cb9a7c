"""What happened: to a ticket, and in a workspace."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import InvalidCursor, InvalidLimit
from tickets.lifecycle.domain.documents import EventQuery, FeedQuery
from tickets.lifecycle.domain.records import Feed, TicketEvent
from tickets.lifecycle.operations.events import EventOperations
from tickets.lifecycle.resources.scope import READ_ERRORS, READ_HEADERS, scope_of
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


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


class EventFeed:
    """HTTP for the feed of a workspace."""

    def __init__(self, events: EventOperations) -> None:
        self._events = events

    @endpoint(
        "Follow the events of all tickets of a workspace",
        query=FeedQuery,
        answer=Feed,
        request_headers=READ_HEADERS,
        errors=(*READ_ERRORS, InvalidLimit, InvalidCursor),
    )
    def on_get(self, req: Request, _resp: Response, query: FeedQuery) -> Feed:
        """``GET /ticket-events?after_id=&type=&ticket_id=&limit=`` → 200 part of the feed.

        ``next_cursor`` is the next ``after_id`` and never null: who keeps it misses nothing
        and sees nothing twice.
        """
        return self._events.feed(scope_of(req, query), query)
