"""Events of tickets: the history of one, and the feed of a workspace."""

from __future__ import annotations

from tickets.db.database import Database, Row, Transaction
from tickets.errors import InvalidCursor
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import EventQuery, FeedQuery
from tickets.lifecycle.domain.records import Feed, TicketEvent
from tickets.lifecycle.operations import rows
from tickets.web.pages import Page, make_page, parse_id_cursor


class EventOperations:
    """Reads of what happened."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list_of_ticket(
        self, scope: Scope, ticket_id: str, query: EventQuery
    ) -> Page[TicketEvent]:
        """Return a page of a ticket's events. Raises WorkspaceNotFound, TicketNotFound."""
        after_id = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            rows.entered(tx, scope)
            rows.found_ticket(tx, scope.workspace_id, ticket_id)
            found = tx.many(
                "ticket_events.of_ticket",
                ticket_id=ticket_id,
                after_id=after_id,
                types=listed(query.type),
                limit=query.limit + 1,
            )
        return make_page(
            found, limit=query.limit, make=rows.event, cursor=lambda row: str(row["id"])
        )

    def feed(self, scope: Scope, query: FeedQuery) -> Feed:
        """Return the next part of a workspace's feed, and the cursor that continues it.

        Raises WorkspaceNotFound, TicketNotFound, InvalidCursor.
        """
        given = query.after_id if query.after_id is not None else query.cursor
        after_id = 0 if given is None else max(0, parse_id_cursor(given))
        with self._db.read() as tx:
            extent = tx.one("ticket_events.extent")
            assert extent is not None, "a row of aggregates"
        # In another view, which is newer than all that the extent says is there.
        with self._db.read() as tx:
            rows.entered(tx, scope)
            if after_id > extent["newest_id"]:
                raise InvalidCursor(
                    "after_id is newer than the newest event; was the database restored?"
                )
            found = _part(tx, scope, query, after_id=after_id, upto_id=extent["upto_id"])
            next_id = found[-1]["id"] if found else after_id
            if len(found) < query.limit:
                # Everything up to there was looked at, whatever the filters kept.
                newest = tx.value("ticket_events.newest_upto", upto_id=extent["upto_id"])
                next_id = max(next_id, newest)
        if next_id > after_id:
            # A cursor must not be ahead of the feed after a power cut.
            self._db.sync()
        return Feed(items=[rows.event(row) for row in found], next_cursor=str(next_id))


def _part(
    tx: Transaction, scope: Scope, query: FeedQuery, *, after_id: int, upto_id: int
) -> list[Row]:
    if query.ticket_id is None:
        return tx.many(
            "ticket_events.page",
            workspace_id=scope.workspace_id,
            after_id=after_id,
            upto_id=upto_id,
            types=listed(query.type),
            limit=query.limit,
        )
    rows.found_ticket(tx, scope.workspace_id, query.ticket_id)
    return tx.many(
        "ticket_events.page_of_ticket",
        ticket_id=query.ticket_id,
        after_id=after_id,
        upto_id=upto_id,
        types=listed(query.type),
        limit=query.limit,
    )


def listed(words: str | None) -> str | None:
    """Return words between commas as a statement looks for them, None for no filter."""
    return None if words is None else f",{words},"
