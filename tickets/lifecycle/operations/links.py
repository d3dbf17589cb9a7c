"""Links between tickets."""

from __future__ import annotations

import copy
from typing import Any

from msgspec import UNSET

from tickets.db.database import Database, Row, Transaction
from tickets.ids import new_id
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import LINK_TYPES, NewLink, TicketPageQuery
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.records import Link
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.domain.statuses import enter
from tickets.lifecycle.errors import (
    DuplicateLink,
    InvalidLink,
    LinkCycle,
    LinkNotFound,
    TicketTerminal,
)
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.dispatching import Dispatcher
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.web.pages import Page, make_page, parse_id_cursor


class LinkOperations:
    """Every change to links, and those of a ticket."""

    def __init__(self, db: Database, workflow: TicketWorkflow, dispatcher: Dispatcher) -> None:
        self._db = db
        self._workflow = workflow
        self._dispatcher = dispatcher

    def add(self, scope: Scope, ticket_id: str, document: NewLink) -> Link:
        """Link a ticket with another one.

        Raises as ``TicketWorkflow.mutate`` does, and InvalidLink, DuplicateLink, LinkCycle,
        TicketTerminal.
        """
        type_ = LINK_TYPES[document.type]
        ends = (ticket_id, document.target_ticket_id)
        source_id, target_id = ends if document.direction == "outgoing" else ends[::-1]
        made: list[Row] = []

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if source_id == target_id:
                raise InvalidLink
            rows.found_ticket(tx, ticket.workspace_id, document.target_ticket_id)
            made.append(add_link(tx, ticket, notes, type_, source_id, target_id))
            if type_ == "blocks":
                notes.touched.append(target_id)

        with self._db.write() as tx:
            self._workflow.mutate(scope, ticket_id, change)
            if type_ == "duplicateOf":
                self._close(tx, scope, source_id, target_id, document)
            return rows.link(made[0], ticket_id)

    def remove(self, scope: Scope, ticket_id: str, link_id: str) -> None:
        """Remove a link.

        Raises as ``TicketWorkflow.mutate`` does, and LinkNotFound.
        """

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            tx.hold("ticket_links.lock", workspace_id=ticket.workspace_id)
            row = tx.one("ticket_links.get", link_id=link_id, ticket_id=ticket.id)
            if row is None:
                raise LinkNotFound
            tx.run("ticket_links.delete", link_id=link_id)
            notes.details["links"] = {"added": [], "removed": [_told(row)]}
            if row["type"] == "blocks":
                notes.touched.append(row["target_ticket_id"])
            elif row["type"] == "duplicateOf":
                notes.touched += dependents_of(tx, row["source_ticket_id"])

        self._workflow.mutate(scope, ticket_id, change)

    def list_of_ticket(
        self, scope: Scope, ticket_id: str, query: TicketPageQuery
    ) -> Page[Link]:
        """Return a page of a ticket's links, in the order in which they came.

        Raises WorkspaceNotFound, TicketNotFound, InvalidCursor.
        """
        after_seq = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            rows.entered(tx, scope)
            rows.found_ticket(tx, scope.workspace_id, ticket_id)
            found = tx.many(
                "ticket_links.of_ticket",
                ticket_id=ticket_id,
                after_seq=after_seq,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=lambda row: rows.link(row, ticket_id),
            cursor=lambda row: str(row["seq"]),
        )

    def _close(
        self, tx: Transaction, scope: Scope, source_id: str, target_id: str, document: NewLink
    ) -> None:
        """Call the duplicate off, where that was asked for or is the rule."""

        def cancel(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if ticket.is_terminal:
                return
            before = copy.copy(ticket)
            notes.trigger = "duplicate"
            enter(ticket, "cancelled", now_ms=notes.now_ms)
            ticket.status_reason = f"duplicate of {target_id}"
            self._dispatcher.leave(tx, before, ticket, notes)

        source = rows.found_ticket(tx, scope.workspace_id, source_id)
        is_rule = source.status in ("open", "blocked")
        if document.close_duplicate if document.close_duplicate is not UNSET else is_rule:
            self._workflow.mutate(scope, source_id, cancel)


def add_link(
    tx: Transaction,
    ticket: TicketState,
    notes: Notes,
    type_: str,
    source_id: str,
    target_id: str,
) -> Row:
    """Store a link within a change of one of its tickets, and note it.

    Raises DuplicateLink, LinkCycle, TicketTerminal (what would be blocked has ended).
    """
    tx.hold("ticket_links.lock", workspace_id=ticket.workspace_id)
    ends = {"source_ticket_id": source_id, "target_ticket_id": target_id}
    back = {"source_ticket_id": target_id, "target_ticket_id": source_id}
    if tx.one("ticket_links.find", type=type_, **ends) is not None:
        raise DuplicateLink
    if type_ == "relatesTo" and tx.one("ticket_links.find", type=type_, **back) is not None:
        raise DuplicateLink
    if type_ == "duplicateOf" and _duplicated(tx, source_id) is not None:
        raise DuplicateLink("The ticket is a duplicate of another one already")
    if type_ == "blocks" and rows.found_ticket(tx, ticket.workspace_id, target_id).is_terminal:
        raise TicketTerminal
    if type_ != "relatesTo" and _closes(tx, type_, source_id, target_id):
        raise LinkCycle
    row = tx.one(
        "ticket_links.add",
        id=new_id(),
        workspace_id=ticket.workspace_id,
        type=type_,
        created_by=notes.actor,
        now_ms=notes.now_ms,
        **ends,
    )
    assert row is not None, "an INSERT that returns what it made"
    notes.details["links"] = {"added": [_told(row)], "removed": []}
    return row


def dependents_of(tx: Transaction, ticket_id: str, *, limit: int = 20) -> list[str]:
    """Return tickets that this one blocks, the most important first."""
    found = tx.many("ticket_links.dependents_of", ticket_id=ticket_id, limit=limit)
    return [row["id"] for row in found]


def _duplicated(tx: Transaction, ticket_id: str) -> Any:
    return tx.value("ticket_links.duplicated_by", ticket_id=ticket_id)


def _closes(tx: Transaction, type_: str, source_id: str, target_id: str) -> bool:
    found = tx.value(
        "ticket_links.reaches", type=type_, from_ticket_id=target_id, to_ticket_id=source_id
    )
    return found is not None


def _told(row: Row) -> dict[str, str]:
    names = ("id", "type", "source_ticket_id", "target_ticket_id")
    return {name: row[name] for name in names}
