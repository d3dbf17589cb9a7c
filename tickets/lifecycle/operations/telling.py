"""The ledger's part in a change of a ticket, in the transaction of the change."""

from __future__ import annotations

from tickets.db.database import Transaction
from tickets.ledger.domain.reserved import TICKET_PREFIX
from tickets.ledger.operations.feed import LedgerFeed
from tickets.lifecycle.domain.events import Notes
from tickets.lifecycle.domain.ledger import SOURCE, entries_of
from tickets.lifecycle.domain.state import TicketState


class LedgerFollower:
    """Tells the ledger of every state that a ticket comes into, and that it is worked on."""

    def __init__(self, feed: LedgerFeed) -> None:
        self._feed = feed

    @property
    def is_on(self) -> bool:
        """Whether anything is told."""
        return self._feed.is_on

    def alive(self, tx: Transaction, ticket_id: str, *, now_ms: int) -> None:
        """Note that an agent works on a ticket, at most once in a while."""
        self._feed.alive(tx, f"{TICKET_PREFIX}{ticket_id}", source=SOURCE, now_ms=now_ms)

    def follow(
        self, tx: Transaction, before: TicketState | None, after: TicketState, notes: Notes
    ) -> None:
        """Look at a change that was made."""
        if not self._feed.is_on:
            return
        is_first = self._is_first_assignment(tx, before, after)
        for fact in entries_of(before, after, notes, is_first_assignment=is_first):
            self._feed.record(tx, fact)

    def _is_first_assignment(
        self, tx: Transaction, before: TicketState | None, after: TicketState
    ) -> bool:
        if not after.is_assigned or after.status != "open":
            return False
        if before is None:
            return True
        if before.is_assigned:
            return False
        known = self._feed.snapshot(tx, f"{TICKET_PREFIX}{after.id}")
        return known is None or known.state == "RECEIVED"
