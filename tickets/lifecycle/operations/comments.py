"""Comments, and the channel they are in."""

from __future__ import annotations

from tickets.db.database import Database, Row, Transaction
from tickets.lifecycle.domain.actors import Scope
from tickets.lifecycle.domain.documents import NewComment, TicketPageQuery
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.records import Channel, Comment, Participant
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import ChannelNotFound, CommentNotFound
from tickets.lifecycle.operations import rows
from tickets.lifecycle.operations.channels import add_comment, ensure_channel
from tickets.lifecycle.operations.workflow import TicketWorkflow
from tickets.web.pages import Page, make_page, parse_id_cursor


class CommentOperations:
    """What is said about tickets."""

    def __init__(self, db: Database, workflow: TicketWorkflow) -> None:
        self._db = db
        self._workflow = workflow

    def add(
        self,
        scope: Scope,
        ticket_id: str,
        document: NewComment,
        *,
        external_id: str | None = None,
    ) -> Comment:
        """Say something about a ticket; the first comment makes its channel.

        ``external_id`` is that of a comment which is there already, in Linear.

        Raises as ``TicketWorkflow.mutate`` does, and CommentNotFound (the one to answer).
        """
        made: list[Row] = []

        def change(tx: Transaction, ticket: TicketState, notes: Notes) -> None:
            parent_id = document.parent_comment_id
            if parent_id is not None:
                _check_parent(tx, ticket, parent_id)
            ensure_channel(tx, ticket, now_ms=notes.now_ms)
            made.append(
                add_comment(
                    tx,
                    ticket,
                    document.body,
                    author=notes.actor,
                    kind=document.kind,
                    now_ms=notes.now_ms,
                    parent_comment_id=parent_id,
                    external_id=external_id,
                )
            )

        self._workflow.mutate(scope, ticket_id, change)
        return _comment(made[-1])

    def list_of_ticket(
        self, scope: Scope, ticket_id: str, query: TicketPageQuery
    ) -> Page[Comment]:
        """Return a page of a ticket's comments, oldest first.

        Raises WorkspaceNotFound, TicketNotFound, InvalidCursor.
        """
        after_seq = 0 if query.cursor is None else parse_id_cursor(query.cursor)
        with self._db.read() as tx:
            rows.entered(tx, scope)
            rows.found_ticket(tx, scope.workspace_id, ticket_id)
            found = tx.many(
                "ticket_comments.of_ticket",
                ticket_id=ticket_id,
                after_seq=after_seq,
                limit=query.limit + 1,
            )
        return make_page(
            found, limit=query.limit, make=_comment, cursor=lambda row: str(row["seq"])
        )

    def get_channel(self, scope: Scope, ticket_id: str) -> Channel:
        """Return the channel of a ticket.

        Raises WorkspaceNotFound, TicketNotFound, ChannelNotFound.
        """
        with self._db.read() as tx:
            rows.entered(tx, scope)
            ticket = rows.found_ticket(tx, scope.workspace_id, ticket_id)
            if ticket.channel_id is None:
                raise ChannelNotFound
            found = tx.many("ticket_channels.participants", channel_id=ticket.channel_id)
        return Channel(
            id=ticket.channel_id,
            workspace_id=ticket.workspace_id,
            ticket_id=ticket.id,
            kind="ticket",
            mode=ticket.mode,  # type: ignore[arg-type]  # the schema's CHECK says so
            participants=[Participant(**row) for row in found],
        )


def _check_parent(tx: Transaction, ticket: TicketState, comment_id: str) -> None:
    if tx.value("ticket_comments.ticket_of", comment_id=comment_id) != ticket.id:
        raise CommentNotFound


def _comment(row: Row) -> Comment:
    return Comment(**{name: row[name] for name in Comment.__struct_fields__})
