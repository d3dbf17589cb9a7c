"""Lists of tickets, and of the tasks that one was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tickets.db.database import Database, Row, Transaction
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import TicketPageQuery, TicketQuery
from tickets.lifecycle.domain.records import DispatchRow, Ticket
from tickets.lifecycle.domain.state import PRIORITIES, TicketState, label_key
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.events import listed
from tickets.web.pages import MAX_INT64, Page, make_page, parse_id_cursor, parse_time_cursor

# Before everything, and behind it.
_FIRST: Final = (-1, "")
_LAST: Final = (MAX_INT64, "")
_VALUES: Final = {
    "created": "created_at_ms",
    "updated": "updated_at_ms",
    "priority": "priority",
}
_AS_THEY_ARE: Final = (
    "assigned_agent_id",
    "assigned_team_id",
    "delegated_by_agent_id",
    "parent_ticket_id",
    "project_id",
    "provider",
    "external_key",
    "updated_since_ms",
    "dispatch_state",
)


class TicketLists:
    """Reads of many tickets."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, scope: Scope, query: TicketQuery, labels: Sequence[str]) -> Page[Ticket]:
        """Return a page of a workspace's tickets that have all these labels.

        Raises WorkspaceNotFound, InvalidCursor.
        """
        after = _FIRST if query.order == "asc" else _LAST
        if query.cursor is not None:
            after = parse_time_cursor(query.cursor)
        wanted: dict[str, Any] = {
            "workspace_id": scope.workspace_id,
            "after_value": after[0],
            "after_id": after[1],
            "limit": query.limit + 1,
            **_filters(query, labels),
        }
        with self._db.read() as tx:
            rows.entered(tx, scope)
            found = make_page(
                _ordered(tx, query, wanted),
                limit=query.limit,
                make=lambda row: TicketState(**row),
                cursor=lambda row: f"{row[_VALUES[query.sort]]}:{row['id']}",
            )
            return Page(items=rows.tickets(tx, found.items), next_cursor=found.next_cursor)

    def dispatches(
        self, scope: Scope, ticket_id: str, query: TicketPageQuery
    ) -> Page[DispatchRow]:
        """Return a page of the tasks that a ticket was given, one generation after the other.

        Raises WorkspaceNotFound, TicketNotFound, InvalidCursor.
        """
        after = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            rows.entered(tx, scope)
            rows.found_ticket(tx, scope.workspace_id, ticket_id)
            found = tx.many(
                "ticket_dispatches.of_ticket",
                ticket_id=ticket_id,
                after_generation=after,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=lambda row: DispatchRow(**row),
            cursor=lambda row: str(row["generation"]),
        )


def _ordered(tx: Transaction, query: TicketQuery, wanted: dict[str, Any]) -> list[Row]:
    ways: dict[tuple[str, str], Callable[[], list[Row]]] = {
        ("created", "asc"): lambda: tx.many("ticket_lists.by_created_asc", **wanted),
        ("created", "desc"): lambda: tx.many("ticket_lists.by_created_desc", **wanted),
        ("updated", "asc"): lambda: tx.many("ticket_lists.by_updated_asc", **wanted),
        ("updated", "desc"): lambda: tx.many("ticket_lists.by_updated_desc", **wanted),
        ("priority", "asc"): lambda: tx.many("ticket_lists.by_priority_asc", **wanted),
        ("priority", "desc"): lambda: tx.many("ticket_lists.by_priority_desc", **wanted),
    }
    return ways[query.sort, query.order]()


def _filters(query: TicketQuery, labels: Sequence[str]) -> dict[str, Any]:
    """Return what a query wants as the statements take it, None for no wish."""
    keys = sorted({label_key(label.strip()) for label in labels})
    return {
        **{name: getattr(query, name) for name in _AS_THEY_ARE},
        "statuses": listed(query.status),
        "priority": None if query.priority is None else PRIORITIES.index(query.priority) + 1,
        "labels": "".join(f"%{_literal(key)}" for key in keys) + "%" if keys else None,
        "q": None if query.q is None else f"%{_literal(query.q.casefold())}%",
        "is_blocked": None if query.is_blocked is None else int(query.is_blocked == "true"),
    }


def _literal(text: str) -> str:
    """Return a text in which LIKE sees nothing but itself; ! is its escape."""
    for sign in "!%_":
        text = text.replace(sign, f"!{sign}")
    return text
