"""The conversation about a ticket: made when it is wanted, and what the service says in it."""

from __future__ import annotations

from typing import Final

from tickets.db.database import Row, Transaction
from tickets.ids import new_id
from tickets.lifecycle.domain.actors import SYSTEM, USER
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.operations.outbox import tell_comment

# The rest of them joins with the next message.
MAX_JOINING: Final = 1_000


def ensure_channel(tx: Transaction, ticket: TicketState, *, now_ms: int) -> str:
    """Return the channel of a ticket, made within a change of it where there is none.

    The assignee, ``user`` and all collaborators are in it afterwards.
    """
    if ticket.channel_id is None:
        ticket.channel_id = new_id()
        tx.run(
            "ticket_channels.create",
            id=ticket.channel_id,
            workspace_id=ticket.workspace_id,
            ticket_id=ticket.id,
            now_ms=now_ms,
        )
    members: list[tuple[str, str]] = [(USER, "member")]
    if ticket.assigned_agent_id is not None:
        members.insert(0, (ticket.assigned_agent_id, "owner"))
    for participant_id, role in members:
        tx.run(
            "ticket_channels.join_in",
            channel_id=ticket.channel_id,
            participant_id=participant_id,
            role=role,
            now_ms=now_ms,
        )
    tx.run(
        "ticket_channels.join_collaborators",
        channel_id=ticket.channel_id,
        ticket_id=ticket.id,
        now_ms=now_ms,
        limit=MAX_JOINING,
    )
    return ticket.channel_id


def add_comment(
    tx: Transaction,
    ticket: TicketState,
    body: str,
    *,
    author: str,
    kind: str,
    now_ms: int,
    parent_comment_id: str | None = None,
    external_id: str | None = None,
) -> Row:
    """Store a comment on a ticket that has a channel; ``external_id`` is Linear's for it."""
    assert ticket.channel_id is not None, "ensured before"
    row = tx.one(
        "ticket_comments.add",
        id=new_id(),
        ticket_id=ticket.id,
        channel_id=ticket.channel_id,
        author=author,
        kind=kind,
        body=body,
        parent_comment_id=parent_comment_id,
        external_id=external_id,
        now_ms=now_ms,
    )
    assert row is not None, "an INSERT that returns what it made"
    if kind == "text" and external_id is None:
        tell_comment(tx, ticket, row["id"], body, now_ms)
    return row


def say(tx: Transaction, ticket: TicketState, body: str, *, now_ms: int) -> Row:
    """Let the service itself say something about a ticket, within a change of it."""
    ensure_channel(tx, ticket, now_ms=now_ms)
    return add_comment(tx, ticket, body, author=SYSTEM, kind="system", now_ms=now_ms)


def say_once(tx: Transaction, ticket: TicketState, body: str, *, now_ms: int) -> None:
    """Say what the service has not said about this ticket before, within a change of it."""
    if tx.value("ticket_comments.is_said", ticket_id=ticket.id, body=body) is None:
        say(tx, ticket, body, now_ms=now_ms)


def say_status(
    tx: Transaction, before: TicketState, ticket: TicketState, *, now_ms: int
) -> None:
    """Say what became of a ticket that was blocked, failed or completed.

    Linear hears of an error, which its states do not show.
    """
    if before.status == ticket.status:
        return
    said = {
        "blocked": f"Blocked: {ticket.status_reason}",
        "failed": f"Failed: {ticket.error_message}",
        "done": "Completed",
    }.get(ticket.status)
    if said is None:
        return
    row = say(tx, ticket, said, now_ms=now_ms)
    if ticket.status == "failed":
        tell_comment(tx, ticket, row["id"], said, now_ms)
