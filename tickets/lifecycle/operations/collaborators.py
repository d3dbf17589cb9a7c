"""Collaborators and labels: what is added to a ticket and taken from it."""

from __future__ import annotations

from tickets.db.database import Database, Row, Transaction
from tickets.errors import Invalid
from tickets.lifecycle.domain.actors import USER, Scope
from tickets.lifecycle.domain.documents import MAX_LABELS, NewCollaborator, TicketPageQuery
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.records import Collaborator, Ticket
from tickets.lifecycle.domain.state import TicketState, merged_labels
from tickets.lifecycle.errors import CollaboratorNotFound, LabelNotFound
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.workflow import Change, TicketWorkflow
from tickets.web.pages import Page, make_page, parse_id_cursor


class CollaboratorOperations:
    """Who has a part in a ticket."""

    def __init__(self, db: Database, workflow: TicketWorkflow) -> None:
        self._db = db
        self._workflow = workflow

    def add(
        self, scope: Scope, ticket_id: str, document: NewCollaborator
    ) -> tuple[Collaborator, bool]:
        """Add somebody to a ticket; tell whether they are new to it.

        Raises as ``TicketWorkflow.mutate`` does, and AgentNotFound.
        """
        id_ = document.collaborator_id
        made: list[Row] = []

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            if id_ != USER and not (id_.startswith("user:") and id_ != "user:"):
                rows.found_agent(tx, ticket.workspace_id, id_)
            row = tx.one(
                "ticket_collaborators.add",
                ticket_id=ticket.id,
                collaborator_id=id_,
                role=document.role,
                added_by=notes.actor,
                now_ms=notes.now_ms,
            )
            if row is not None:
                made.append(row)
                shown = {name: row[name] for name in ("collaborator_id", "role", "added_by")}
                notes.collaborators.append(shown)

        with self._db.write() as tx:
            self._workflow.mutate(scope, ticket_id, change)
            row = tx.one("ticket_collaborators.get", ticket_id=ticket_id, collaborator_id=id_)
            assert row is not None, "added now or before"
            return Collaborator(**row), bool(made)

    def remove(self, scope: Scope, ticket_id: str, collaborator_id: str) -> None:
        """Take somebody from a ticket.

        Raises as ``TicketWorkflow.mutate`` does, and CollaboratorNotFound.
        """

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            removed = tx.run(
                "ticket_collaborators.remove",
                ticket_id=ticket.id,
                collaborator_id=collaborator_id,
            )
            if not removed:
                raise CollaboratorNotFound
            notes.details["collaborators"] = {"added": [], "removed": [collaborator_id]}

        self._workflow.mutate(scope, ticket_id, change)

    def list_of_ticket(
        self, scope: Scope, ticket_id: str, query: TicketPageQuery
    ) -> Page[Collaborator]:
        """Return a page of a ticket's collaborators, in the order in which they came.

        Raises WorkspaceNotFound, TicketNotFound, InvalidCursor.
        """
        after_seq = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            rows.entered(tx, scope)
            rows.found_ticket(tx, scope.workspace_id, ticket_id)
            found = tx.many(
                "ticket_collaborators.of_ticket",
                ticket_id=ticket_id,
                after_seq=after_seq,
                limit=query.limit + 1,
            )
        return make_page(
            found,
            limit=query.limit,
            make=rows.collaborator,
            cursor=lambda row: str(row["seq"]),
        )

    def add_labels(self, scope: Scope, ticket_id: str, labels: list[str]) -> Ticket:
        """Put labels on a ticket; those that are there in any case stay.

        Raises as ``TicketWorkflow.mutate`` does, and Invalid where they become too many.
        """

        def change(_tx: Transaction, ticket: TicketState, _notes: Notes) -> None:
            merged = merged_labels([*ticket.labels, *labels])
            if len(merged) > MAX_LABELS:
                raise Invalid.field("labels", f"a ticket has at most {MAX_LABELS}")
            ticket.name_labels(merged)

        return self._changed(scope, ticket_id, change)

    def remove_label(self, scope: Scope, ticket_id: str, label: str) -> Ticket:
        """Take a label from a ticket, whatever its case.

        Raises as ``TicketWorkflow.mutate`` does, and LabelNotFound.
        """

        def change(_tx: Transaction, ticket: TicketState, _notes: Notes) -> None:
            folded = label.strip().casefold()
            kept = [each for each in ticket.labels if each.casefold() != folded]
            if len(kept) == len(ticket.labels):
                raise LabelNotFound
            ticket.name_labels(kept)

        return self._changed(scope, ticket_id, change)

    def _changed(self, scope: Scope, ticket_id: str, change: Change) -> Ticket:
        with self._db.write() as tx:
            return rows.ticket(tx, self._workflow.mutate(scope, ticket_id, change))
