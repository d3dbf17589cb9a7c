"""Events of tickets: the history of one, and the feed of a workspace."""

from __future__ import annotations

from tickets.db.database import Database
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import EventQuery
from tickets.lifecycle.domain.records import TicketEvent
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


def listed(words: str | None) -> str | None:
    """Return words between commas as a statement looks for them, None for no filter."""
    return None if words is None else f",{words},"
