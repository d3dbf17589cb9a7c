"""Events: what clients report, and the log of it."""

from __future__ import annotations

from collections.abc import Sequence

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.errors import Invalid, InvalidCursor, TicketsError
from tickets.ledger.domain import records
from tickets.ledger.domain.documents import (
    LedgerEventsQuery,
    LedgerPageQuery,
    LedgerTouch,
    NewLedgerEvent,
)
from tickets.ledger.domain.records import LedgerEvent, LedgerEvents, LedgerWrite
from tickets.ledger.domain.reserved import check_free
from tickets.ledger.operations.refusals import translated
from tickets.ledger.operations.store import TxStore, event_of
from tickets.ledger.operations.visibility import visible
from tickets.sqlite_task_ledger import rules
from tickets.sqlite_task_ledger.events import StatusEvent
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE
from tickets.web.pages import Page, make_page, parse_id_cursor


class LedgerEventOperations:
    """Everything a client can ask of events. ``scope`` is the workspace that it names."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def append(self, document: NewLedgerEvent, *, scope: str | None) -> LedgerWrite:
        """Append an event, or find that it is stored already.

        Raises ReservedReq, Invalid, InvalidState, EventIdConflict, StateMismatch,
        AlreadyTerminal, StateNotAllowed.
        """
        with self._db.write() as tx:
            return _append(tx, document, scope=scope, now_ms=self._clock.now_ms())

    def append_many(
        self,
        documents: Sequence[NewLedgerEvent],
        *,
        scope: str | None,
        refusal: TicketsError | None,
    ) -> list[LedgerWrite]:
        """Append all events or none; what is raised names the first that was refused.

        ``refusal`` is that of the document behind the last one, where it could not be read.
        Raises as ``append``.
        """
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            results: list[LedgerWrite] = []
            for index, document in enumerate(documents):
                try:
                    results.append(_append(tx, document, scope=scope, now_ms=now_ms))
                except TicketsError as error:
                    raise _at(index, error) from error
            if refusal is not None:
                raise _at(len(documents), refusal)
            return results

    def touch(self, req: str, document: LedgerTouch, *, scope: str | None) -> LedgerWrite:
        """Report that a task is still in its state.

        Raises ReservedReq, Invalid, TaskNotFound, AlreadyTerminal.
        """
        check_free(req=req)
        with self._db.write() as tx, translated():
            visible(tx, req, scope=scope)
            result = rules.touch(
                TxStore(tx),
                req,
                actor=document.actor,
                source=document.source,
                stage=document.stage,
                message=document.message,
                now_ms=self._clock.now_ms(),
                machine=DEFAULT_MACHINE,
            )
        return records.write(result)

    def list_of_req(
        self, req: str, query: LedgerPageQuery, *, scope: str | None
    ) -> Page[LedgerEvent]:
        """Return a page of a req's events. Raises TaskNotFound, InvalidCursor."""
        after_n = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            visible(tx, req, scope=scope)
            found = tx.many(
                "task_events.page_of_req", req=req, after_n=after_n, limit=query.limit + 1
            )
        return make_page(
            found,
            limit=query.limit,
            make=lambda row: records.event(event_of(row)),
            cursor=lambda row: str(row["n"]),
        )

    def list_after(self, query: LedgerEventsQuery, *, scope: str | None) -> LedgerEvents:
        """Return the next part of the log and the cursor that continues it.

        Raises InvalidCursor.
        """
        given = query.after_seq if query.after_seq is not None else query.cursor
        start = 0 if given is None else max(0, parse_id_cursor(given))
        with self._db.read() as tx:
            extent = tx.one("task_events.extent")
            assert extent is not None, "a row of aggregates"
        # In another view, which is newer than all that the extent says is there.
        with self._db.read() as tx:
            upto_seq = extent["upto_seq"]
            if start > extent["newest_seq"]:
                raise InvalidCursor(
                    "after_seq is newer than the newest event; was the database restored?"
                )
            found = tx.many(
                "task_events.page",
                after_seq=start,
                upto_seq=upto_seq,
                scope=scope,
                limit=query.limit,
            )
            next_seq = found[-1]["seq"] if found else start
            if len(found) < query.limit:
                # Everything up to there was looked at, whoever may see it.
                next_seq = max(next_seq, tx.value("task_events.newest_upto", upto_seq=upto_seq))
        if next_seq > start:
            # A cursor must not be ahead of the log after a power cut.
            self._db.sync()
        return LedgerEvents(
            items=[records.event(event_of(row)) for row in found], next_cursor=str(next_seq)
        )


def _append(
    tx: Transaction, document: NewLedgerEvent, *, scope: str | None, now_ms: int
) -> LedgerWrite:
    check_free(req=document.req, event_id=document.event_id)
    if document.scope not in (None, scope):
        raise Invalid.field("scope", "is not the workspace that the request names")
    with translated():
        event = StatusEvent(
            state=document.state,
            actor=document.actor,
            source=document.source,
            req=document.req,
            stage=document.stage,
            message=document.message,
            data=document.data,
            event_id=document.event_id,
            ts_ms=document.ts_ms,
            expected_state=document.expected_state,
            scope=document.scope,
        )
        store = TxStore(tx)
        before = store.snapshot(document.req)
        if before is not None and before.scope not in (None, scope):
            raise Invalid.field("scope", "is not that of the first event of this req")
        result = rules.write_event(store, event, now_ms=now_ms, machine=DEFAULT_MACHINE)
    return records.write(result)


def _at(index: int, error: TicketsError) -> TicketsError:
    return type(error)(f"events[{index}]: {error.text}", details=error.details)
