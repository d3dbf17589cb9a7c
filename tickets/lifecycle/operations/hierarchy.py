"""Parents and children: no ticket is below itself, and no line is too long."""

from __future__ import annotations

from typing import Final

from tickets.db.database import Row, Transaction
from tickets.lifecycle.errors import DelegationTooDeep, ParentCycle, ParentTooDeep
from tickets.lifecycle.operations.rows import found_ticket

MAX_DEPTH: Final = 16
MAX_DELEGATIONS: Final = 8


def check_parent(
    tx: Transaction, workspace_id: str, parent_id: str, *, ticket_id: str | None
) -> None:
    """Return where the ticket, None for a new one, may stand below this parent.

    Raises TicketNotFound (the parent), ParentCycle, ParentTooDeep.
    """
    tx.hold("ticket_links.lock", workspace_id=workspace_id)
    found_ticket(tx, workspace_id, parent_id)
    line = line_of(tx, parent_id)
    if ticket_id in {row["id"] for row in line}:
        raise ParentCycle
    below = [] if ticket_id is None else descendants_of(tx, ticket_id)
    if len(line) + max((row["depth"] for row in below), default=0) > MAX_DEPTH:
        raise ParentTooDeep


def delegation_depth(tx: Transaction, parent_id: str | None) -> int:
    """Return how deep a ticket below this parent is delegated, itself included.

    Raises DelegationTooDeep.
    """
    line = [] if parent_id is None else line_of(tx, parent_id)
    depth = 1 + sum(row["delegated_by_agent_id"] is not None for row in line)
    if depth > MAX_DELEGATIONS:
        raise DelegationTooDeep
    return depth


def line_of(tx: Transaction, ticket_id: str) -> list[Row]:
    """Return a ticket and all above it."""
    return tx.many("tickets.line_of", ticket_id=ticket_id, most=MAX_DEPTH + 2)


def descendants_of(tx: Transaction, ticket_id: str) -> list[Row]:
    """Return all tickets below one, the deepest first; ``depth`` counts from 1."""
    return tx.many("tickets.descendants_of", ticket_id=ticket_id, most=MAX_DEPTH + 2)
