"""``/runs/{run_id}/events``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    InvalidCursor,
    InvalidLimit,
    LeaseExpired,
    NotFound,
    ReservedEventKind,
)
from tickets.tracker.domain.documents import NewEvent, NewEvents, PageQuery
from tickets.tracker.domain.records import CreatedRow, CreatedRows, Event
from tickets.tracker.operations.events import EventOperations
from tickets.tracker.operations.runs import RunOperations
from tickets.tracker.resources.runs import check_lease
from tickets.web.auth import Access
from tickets.web.endpoint import endpoint
from tickets.web.pages import Page


class RunEvents:
    """HTTP for a run's events."""

    def __init__(self, events: EventOperations, runs: RunOperations) -> None:
        self._events = events
        self.runs = runs

    @endpoint(
        "Add an event to a run, or many at once",
        before_body=check_lease,
        body=NewEvents,
        answer=(CreatedRow, CreatedRows),
        status=201,
        errors=(ReservedEventKind, NotFound, LeaseExpired),
        access=Access.LEASE,
    )
    def on_post(
        self, req: Request, _resp: Response, run_id: str, document: NewEvents
    ) -> CreatedRow | CreatedRows:
        """``POST /runs/{run_id}/events`` → 201 ``{"id": int}``, or ``{"ids": [int, …]}``."""
        holder = req.context.caller.holder
        if document.events is not None:
            ids = self._events.append(run_id, document.events, holder=holder)
            return CreatedRows(ids=ids)
        event = NewEvent(kind=document.kind or "", data=document.data)
        return CreatedRow(id=self._events.append(run_id, [event], holder=holder)[0])

    @endpoint(
        "List a run's events",
        query=PageQuery,
        answer=Page[Event],
        errors=(InvalidLimit, InvalidCursor, NotFound),
        access=Access.READER,
    )
    def on_get(
        self, req: Request, _resp: Response, run_id: str, query: PageQuery
    ) -> Page[Event]:
        """``GET /runs/{run_id}/events?limit=&cursor=`` → 200 page of events, by id."""
        return self._events.list_of_run(run_id, query, reader=req.context.caller.reader)
