"""``/ledger/events``, and the events of one task."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    AlreadyTerminal,
    EventIdConflict,
    Invalid,
    InvalidCursor,
    InvalidLimit,
    InvalidState,
    ReservedReq,
    StateMismatch,
    StateNotAllowed,
    TaskNotFound,
    TicketsError,
)
from tickets.ledger.domain.documents import (
    LedgerEventsQuery,
    LedgerPageQuery,
    LedgerTouch,
    NewLedgerEvent,
    NewLedgerEvents,
    ScopeQuery,
)
from tickets.ledger.domain.records import LedgerEvent, LedgerEvents, LedgerWrite, LedgerWrites
from tickets.ledger.operations.events import LedgerEventOperations
from tickets.ledger.resources.scope import scope_of
from tickets.web.body import convert
from tickets.web.endpoint import endpoint
from tickets.web.headers import WORKSPACE_HEADER
from tickets.web.pages import Page

WRITE_ERRORS = (
    Invalid,
    InvalidState,
    ReservedReq,
    StateNotAllowed,
    AlreadyTerminal,
    StateMismatch,
    EventIdConflict,
)


class LedgerEventCollection:
    """HTTP for the whole log."""

    def __init__(self, events: LedgerEventOperations) -> None:
        self._events = events

    @endpoint(
        "Report an event to the ledger",
        body=NewLedgerEvent,
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=LedgerWrite,
        status=201,
        also=(200,),
        errors=WRITE_ERRORS,
    )
    def on_post(
        self, req: Request, resp: Response, document: NewLedgerEvent, query: ScopeQuery
    ) -> LedgerWrite:
        """``POST /ledger/events`` → 201 result; 200 for an ``event_id`` that is stored already.

        ``data`` is stored with sorted keys. ``scope`` is null or the workspace that the
        request names.
        """
        result = self._events.append(document, scope=scope_of(req, query))
        if result.duplicate:
            resp.status = 200
        return result

    @endpoint(
        "Follow the ledger's log",
        query=LedgerEventsQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=LedgerEvents,
        errors=(InvalidLimit, InvalidCursor),
    )
    def on_get(self, req: Request, _resp: Response, query: LedgerEventsQuery) -> LedgerEvents:
        """``GET /ledger/events?after_seq=&limit=`` → 200 events by ``seq``.

        ``next_cursor`` is what to pass as ``after_seq`` next, never null.
        """
        return self._events.list_after(query, scope=scope_of(req, query))


class LedgerEventBulk:
    """HTTP for many events at once."""

    def __init__(self, events: LedgerEventOperations) -> None:
        self._events = events

    @endpoint(
        "Report many events, all or none",
        body=NewLedgerEvents,
        body_items=("events", NewLedgerEvent),
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=LedgerWrites,
        status=201,
        errors=WRITE_ERRORS,
    )
    def on_post(
        self, req: Request, _resp: Response, document: NewLedgerEvents, query: ScopeQuery
    ) -> LedgerWrites:
        """``POST /ledger/events/bulk`` → 201 results; a refusal begins with ``events[i]:``."""
        scope = scope_of(req, query)
        documents: list[NewLedgerEvent] = []
        refusal: TicketsError | None = None
        for item in document.events:
            try:
                documents.append(convert(item, NewLedgerEvent))
            except Invalid as error:
                refusal = error
                break
        results = self._events.append_many(documents, scope=scope, refusal=refusal)
        return LedgerWrites(items=results)


class LedgerTaskEvents:
    """HTTP for the events of one task."""

    def __init__(self, events: LedgerEventOperations) -> None:
        self._events = events

    @endpoint(
        "List the events of a task in the ledger",
        query=LedgerPageQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=Page[LedgerEvent],
        errors=(InvalidLimit, InvalidCursor, TaskNotFound),
    )
    def on_get(
        self, request: Request, _resp: Response, req: str, query: LedgerPageQuery
    ) -> Page[LedgerEvent]:
        """``GET /ledger/tasks/{req}/events?limit=&cursor=`` → 200 page of events by ``seq``."""
        return self._events.list_of_req(req, query, scope=scope_of(request, query))


class LedgerTaskTouch:
    """HTTP for heartbeats."""

    def __init__(self, events: LedgerEventOperations) -> None:
        self._events = events

    @endpoint(
        "Report that a task is still in its state",
        body=LedgerTouch,
        query=ScopeQuery,
        request_headers=(WORKSPACE_HEADER,),
        answer=LedgerWrite,
        status=201,
        errors=(Invalid, ReservedReq, TaskNotFound, AlreadyTerminal),
    )
    def on_post(
        self,
        request: Request,
        _resp: Response,
        req: str,
        document: LedgerTouch,
        query: ScopeQuery,
    ) -> LedgerWrite:
        """``POST /ledger/tasks/{req}/touch`` → 201 result."""
        return self._events.touch(req, document, scope=scope_of(request, query))
